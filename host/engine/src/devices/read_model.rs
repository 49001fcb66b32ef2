/// What polls are answered from: memory first, the store when it is not there.
#[derive(Default)]
pub struct ReadModel {}
