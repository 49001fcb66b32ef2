//! Tenants, keys and who may do what.
