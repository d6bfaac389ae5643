//! Inbound SMTP: listeners, connections, admission, and the way into the queue.
