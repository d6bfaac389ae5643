//! TLS of both directions over rustls: keys, cipher names, verifiers, acceptor and connector.
