//! Administration: the gRPC service behind `mtactl`, counters and recent events.
