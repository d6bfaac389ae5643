//! `<source>`: checks of SPF, DKIM and reverse DNS of inbound mail.

use super::terms::{BOOLEAN, COUNT, IGNORED, SOURCE};
use crate::config::directive::Directive;

/// Sender checks and what follows from them.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("check-dkim-inbound", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .example("check-dkim-inbound no")
        .doc(
            "Verify DKIM signatures of inbound mail and write the result to an \
              Authentication-Results header.",
        ),
    Directive::new("trace-dkim-check", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .example("trace-dkim-check no")
        .doc("Add the DNS queries of the DKIM check to the message's headers."),
    Directive::new("check-spf-inbound", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .example("check-spf-inbound no")
        .doc(
            "Check the client's address by SPF against the sender's domain and write the result \
              to an Authentication-Results header.",
        ),
    Directive::new("trace-spf-check", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .example("trace-spf-check no")
        .doc("Add the DNS queries of the SPF check to the message's headers."),
    Directive::new("check-spf-inbound-best-guess", SOURCE, IGNORED)
        .since("3.0")
        .moot(
            "a guess at a policy that a domain did not publish is not SPF; the guide itself \
              advises against it",
        )
        .example("check-spf-inbound-best-guess no")
        .doc("Was an SPF check with a guessed policy for domains without one."),
    Directive::new("check-spf-inbound-max-void-lookups", SOURCE, COUNT)
        .default("2")
        .inert()
        .since("5.0")
        .example("check-spf-inbound-max-void-lookups 2")
        .doc(
            "How many DNS queries without a result an SPF check may make before it ends in a \
              permanent error.",
        ),
    Directive::new("reject-spf-check-temperror", SOURCE, BOOLEAN)
        .default("yes")
        .inert()
        .since("5.0")
        .example("reject-spf-check-temperror yes")
        .doc("Answer MAIL with a 4xx reply when the SPF check ended in a temporary error."),
    Directive::new("reject-spf-check-permerror", SOURCE, BOOLEAN)
        .default("yes")
        .inert()
        .since("5.0")
        .example("reject-spf-check-permerror yes")
        .doc("Answer MAIL with a 5xx reply when the sender's SPF policy cannot be read."),
    Directive::new("reject-spf-check-fail", SOURCE, BOOLEAN)
        .default("yes")
        .inert()
        .since("5.0")
        .example("reject-spf-check-fail yes")
        .doc(
            "Answer MAIL with a 5xx reply when the SPF check says that the client may not send \
              for the domain.",
        ),
    Directive::new("check-iprev-inbound", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .example("check-iprev-inbound no")
        .doc(
            "Check that the client's address has a name in reverse DNS which leads back to the \
              address.",
        ),
    Directive::new("trace-iprev-check", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .example("trace-iprev-check no")
        .doc("Add the DNS queries of the reverse DNS check to the message's headers."),
    Directive::new("reject-iprev-check-temperror", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("reject-iprev-check-temperror no")
        .doc("Refuse the client for now when the reverse DNS check ended in a temporary error."),
    Directive::new("reject-iprev-check-permerror", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("reject-iprev-check-permerror no")
        .doc(
            "Refuse the client when the reverse DNS check ended in a permanent error, such as a \
              missing name.",
        ),
    Directive::new("reject-iprev-check-fail", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("reject-iprev-check-fail no")
        .doc("Refuse the client when the name in reverse DNS does not lead back to its address."),
    Directive::new("check-mfrom-inbound", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .since("3.0")
        .example("check-mfrom-inbound no")
        .doc(
            "Check the envelope sender by Sender ID, the forerunner of today's SPF check. Seen in \
              old configurations only.",
        ),
    Directive::new("broken-auth-clients", SOURCE, BOOLEAN)
        .default("no")
        .since("3.0")
        .moot(
            "authentication is always announced in the standard form, which all clients know \
              today",
        )
        .example("broken-auth-clients no")
        .doc(
            "Was a second form of announcing authentication, for clients that did not know the \
              standard one.",
        ),
];
