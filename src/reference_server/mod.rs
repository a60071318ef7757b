//! reference_server
