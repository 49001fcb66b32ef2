//! The system's limit of open files, of which each connection is one.

use rustix::process::{Resource, getrlimit, setrlimit};
use tidegate_engine::chain;

/// What a server opens besides connections: the database, files of firmware, plugins, logs.
const OTHER_FILES: u64 = 500;

/// Raises the limit to what the system allows, and warns if that is too little for the connections.
pub(super) fn raise_limit(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(error = %chain(&error), "cannot raise the limit of open files");
    }
    let allowed = getrlimit(Resource::Nofile).current;
    if let Some(allowed) = allowed.filter(|allowed| !is_enough(*allowed, connections)) {
        tracing::warn!(
            allowed,
            connections,
            "the system allows fewer open files than `limits.connections` needs"
        );
    }
}

fn is_enough(allowed: u64, connections: usize) -> bool {
    allowed >= OTHER_FILES.saturating_add(connections as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_maximum() {
        let mut limit = getrlimit(Resource::Nofile);
        let maximum = limit.maximum;
        limit.current = maximum.map(|maximum| maximum - 1);
        setrlimit(Resource::Nofile, limit).expect("a lower limit is allowed");
        raise_limit(1);
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
    }

    #[test]
    fn other_files_need_room_beside_the_connections() {
        assert!(is_enough(1024, 500) && !is_enough(1024, 1000));
        assert!(!is_enough(1024, usize::MAX));
    }
}
