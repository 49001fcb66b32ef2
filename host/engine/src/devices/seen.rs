/// Who was seen since the last batch was written.
#[derive(Default)]
pub struct SeenLog {}
