//! Variables that Kubernetes sets in every pod for each Service of its namespace. A Service called `tidegate` or
//! `tidegate-db` makes variables with the prefix of the server's settings: `TIDEGATE_SERVICE_HOST`,
//! `TIDEGATE_DB_PORT=tcp://10.0.0.1:5432`, `TIDEGATE_PORT_8080_TCP_ADDR`. They are no settings.

use super::config_error::PREFIX;

/// The names of the variables of this process that Kubernetes has set for Services.
pub fn service_variables() -> Vec<String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, value)| is_service_variable(name, &value.to_string_lossy()))
        .map(|(name, _)| name)
        .collect()
}

/// Whether the name and the value have a form that Kubernetes gives to the variables of a Service.
fn is_service_variable(name: &str, value: &str) -> bool {
    // The underscore stays: the Service's name may be the prefix alone.
    let Some(rest) = name.strip_prefix(PREFIX.trim_end_matches('_')) else {
        return false;
    };
    if !rest.starts_with('_') {
        return false;
    }
    let is_url = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    rest.ends_with("_SERVICE_HOST")
        || is_service_port(rest)
        || (rest.ends_with("_PORT") && is_url)
        || is_port_of_protocol(rest)
}

/// `*_SERVICE_PORT` or, for a named port, `*_SERVICE_PORT_HTTP`.
fn is_service_port(rest: &str) -> bool {
    rest.split_once("_SERVICE_PORT")
        .is_some_and(|(_, port)| port.is_empty() || port.starts_with('_'))
}

/// `*_PORT_8080_TCP`, and with `_ADDR`, `_PORT` or `_PROTO` behind it.
fn is_port_of_protocol(rest: &str) -> bool {
    let parts: Vec<&str> = rest.split('_').collect();
    let parts = match parts.split_last() {
        Some((&("ADDR" | "PORT" | "PROTO"), parts)) => parts,
        _ => &parts[..],
    };
    let [.., "PORT", number, "TCP" | "UDP" | "SCTP"] = parts else {
        return false;
    };
    number.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_services_are_recognized() {
        for (name, value) in [
            ("TIDEGATE_SERVICE_HOST", "10.0.0.1"),
            ("TIDEGATE_SERVICE_PORT", "8080"),
            ("TIDEGATE_SERVICE_PORT_HTTP", "8080"),
            ("TIDEGATE_PORT", "tcp://10.0.0.1:8080"),
            ("TIDEGATE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("TIDEGATE_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("TIDEGATE_PORT_8080_TCP_PORT", "8080"),
            ("TIDEGATE_PORT_8080_TCP_PROTO", "tcp"),
            ("TIDEGATE_PORT_53_UDP", "udp://10.0.0.1:53"),
            ("TIDEGATE_DB_SERVICE_HOST", "10.0.0.2"),
            ("TIDEGATE_DB_PORT", "udp://10.0.0.2:5432"),
            ("TIDEGATE_DB_PORT_5432_TCP_ADDR", "10.0.0.2"),
        ] {
            assert!(is_service_variable(name, value), "{name}={value}");
        }
    }

    #[test]
    fn other_variables_are_not() {
        for (name, value) in [
            ("TIDEGATE_PORT", "8080"),
            ("TIDEGATE_HTTP__PORT", "8080"),
            ("TIDEGATE_LISTEN", "tcp://10.0.0.1:8080"),
            ("TIDEGATE_SERVICE", "10.0.0.1"),
            ("TIDEGATE_SERVICE_PORTS", "8080"),
            ("TIDEGATE_PORT_HTTP_TCP", "8080"),
            ("TIDEGATE_PORT_8080_TLS", "8080"),
            ("TIDEGATES_SERVICE_HOST", "10.0.0.1"),
            ("tidegate_service_host", "10.0.0.1"),
            ("DB_SERVICE_HOST", "10.0.0.1"),
        ] {
            assert!(!is_service_variable(name, value), "{name}={value}");
        }
    }
}
