//! The use cases of Tidegate, the ports they need, and the loops that keep campaigns going.

pub mod ports;
