//! Top level: what Convoy has and PowerMTA has not.

use super::terms::{GLOBAL, SIZE, TIME};
use crate::config::directive::{Arg, Directive, Kind};

/// The replicated queue, administration, and fallback of encryption.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("admin-socket", GLOBAL, &[Arg::required("PATH", Kind::Path)])
        .node_local()
        .default("/run/convoy/mtad.sock")
        .at_restart()
        .since("convoy 0.1")
        .example("admin-socket /run/convoy/mtad.sock")
        .doc(
            "Unix socket on which the server takes the commands of mtactl. Who may write to the \
              socket may do everything.",
        ),
    Directive::new("cluster-listener", GLOBAL, &[Arg::required("ADDRESS:PORT", Kind::Socket)])
        .node_local()
        .since("convoy 0.1")
        .example("cluster-listener 0.0.0.0:2526")
        .doc(
            "Where this node listens for the other nodes of its cluster, for nodes that join and \
              for mtactl from elsewhere. Everything on it is mutual TLS with certificates that the \
              cluster itself issues. Without it nobody else is listened to, and no cluster can be \
              made.",
        ),
    Directive::new("cluster-address", GLOBAL, &[Arg::required("HOST:PORT", Kind::Reach)])
        .node_local()
        .since("convoy 0.1")
        .example("cluster-address mx1.example.com:2526")
        .doc(
            "How the other nodes reach the cluster-listener of this one, where that is not the \
              listener's own address, or, when it listens on all addresses, the first host-name \
              with its port.",
        ),
    Directive::new("health-listener", GLOBAL, &[Arg::required("ADDRESS[:PORT]", Kind::Endpoint)])
        .node_local()
        .at_restart()
        .since("convoy 0.1")
        .example("health-listener 127.0.0.1:8080")
        .doc(
            "Answers HTTP on this address and port, 8080 unless a port is given, for load balancers \
              and monitoring: /health/live says that the server runs, /health/ready whether it \
              accepts mail, /metrics gives figures in the text format of Prometheus. Nothing can \
              be changed through it and no address of mail is shown, but there is no \
              authentication either, so it belongs on an inner network. Nothing listens without \
              this line.",
        ),
    Directive::new(
        "queue-partitions",
        GLOBAL,
        &[Arg::required("N", Kind::Integer { min: 1, max: 64 })],
    )
    .node_local()
    .default("8")
    .at_restart()
    .since("convoy 0.1")
    .example("queue-partitions 8")
    .doc(
        "Into how many independently replicated parts the queue is split. More parts spread \
              over more nodes and make more small writes. The number is fixed when a cluster is \
              first started; a different number later is refused at the start.",
    ),
    Directive::new("max-bytes-in-flight", GLOBAL, SIZE)
        .overridable()
        .default("256M")
        .since("convoy 0.1")
        .example("max-bytes-in-flight 512M")
        .doc(
            "How many bytes of messages may be received and not yet committed to the queue, over \
              all connections. Beyond it MAIL is answered with a temporary 452 reply, so that a \
              slow disk or a lost majority cannot exhaust the memory.",
        ),
    Directive::new("tls-broken-host-memory", GLOBAL, TIME)
        .default("1h")
        .since("convoy 0.1")
        .example("tls-broken-host-memory 1h")
        .doc(
            "How long a receiving host whose TLS handshake failed is spared STARTTLS, where \
              opportunistic encryption is configured, so that the failure is not paid for on every \
              connection. Hosts under require-starttls are always tried. 0 remembers nothing.",
        ),
];
