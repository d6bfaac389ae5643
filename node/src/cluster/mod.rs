//! Membership and shared limits. On a single node: its own identity.
