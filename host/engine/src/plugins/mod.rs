//! Plugins: taken in, listed, enabled, and tried on configs.
