//! Outbound: scheduler, destinations, sessions, limits, back-off and routes.
