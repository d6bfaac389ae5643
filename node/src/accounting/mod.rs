//! Accounting: fields and columns, the outbox streamer, the collector and its CSV files.
