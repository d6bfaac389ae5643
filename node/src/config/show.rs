//! Effective settings for display.
