//! Firmware: uploaded, listed, deleted.
