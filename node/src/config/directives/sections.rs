//! The sections of the language and what each is for.

use super::terms::GOODMAIL;
use crate::config::directive::{Scope, Section, Support};

/// All sections, in the order of the manual.
pub const SECTIONS: &[Section] = &[
    Section {
        scope: Scope::SmtpListener,
        support: Support::Active,
        since: "5.0",
        doc: "One listener with settings of its own. The same address and port may be given only \
              once, as a section or in one line.",
        example: "<smtp-listener 0/0:465>",
    },
    Section {
        scope: Scope::Source,
        support: Support::Active,
        since: "3.0",
        doc: "What clients of a network, or clients that were assigned a name, may do and how \
              their mail is treated. Networks are merged from the widest to the most specific one \
              that holds the client's address; a named source, chosen by the listener or the SMTP \
              user, overrides that. The name {auth} holds for authenticated users without a source \
              of their own.",
        example: "<source 10.1.0/24>",
    },
    Section {
        scope: Scope::SourceGroup,
        support: Support::Inert,
        since: "5.0",
        doc: "Limits on inbound connections that several sources share.",
        example: "<source-group customers>",
    },
    Section {
        scope: Scope::SmtpUser,
        support: Support::Active,
        since: "3.0",
        doc: "A user who may authenticate by SMTP AUTH or by a client certificate.",
        example: "<smtp-user customer-7>",
    },
    Section {
        scope: Scope::Domain,
        support: Support::Active,
        since: "3.0",
        doc: "How mail is delivered to recipients of the matching domains. All matching sections \
              are merged from the general to the specific one, whatever their order in the file. \
              Sections inside a virtual MTA come before those of its pool, and those before the \
              global ones.",
        example: "<domain *.example.com>",
    },
    Section {
        scope: Scope::VirtualMta,
        support: Support::Active,
        since: "3.0",
        doc: "A sender identity: source addresses, host name and settings of its own. Each virtual \
              MTA has its own queue for each domain.",
        example: "<virtual-mta news-1>",
    },
    Section {
        scope: Scope::VirtualMtaPool,
        support: Support::Active,
        since: "3.0",
        doc: "Virtual MTAs among which recipients are distributed in turn. Pools and virtual MTAs \
              share one space of names.",
        example: "<virtual-mta-pool newsletters>",
    },
    Section {
        scope: Scope::AcctFile,
        support: Support::Active,
        since: "3.0",
        doc: "An accounting file, or a program that reads accounting records on its standard \
              input. A path or command with blanks stands in double quotes.",
        example: "<acct-file /var/log/convoy/acct.csv>",
    },
    Section {
        scope: Scope::BounceCategoryPatterns,
        support: Support::Active,
        since: "3.0",
        doc: "Sorts bounces into categories for the accounting field bounceCat. Each line is a \
              regular expression between slashes and the name of a category; the first that \
              matches the enhanced status code followed by the server's reply wins, and an empty \
              expression matches all. The section takes the place of the built-in list.",
        example: "<bounce-category-patterns>",
    },
    Section {
        scope: Scope::Spool,
        support: Support::Active,
        since: "4.5",
        doc: "The directory in which queued mail is kept. Convoy keeps one store: the first \
              directory named is used.",
        example: "<spool /var/spool/convoy>",
    },
    Section {
        scope: Scope::Dns,
        support: Support::Inert,
        since: "5.0",
        doc: "Domains whose DNS records are kept fresh in the cache.",
        example: "<dns>",
    },
    Section {
        scope: Scope::BounceProcessor,
        support: Support::Inert,
        since: "3.0",
        doc: "Reads bounce messages that come back by mail and writes accounting records of type \
              rb and rs.",
        example: "<bounce-processor>",
    },
    Section {
        scope: Scope::FeedbackLoopProcessor,
        support: Support::Inert,
        since: "4.5",
        doc: "Reads complaint reports of mailbox providers and writes accounting records of type \
              f.",
        example: "<feedback-loop-processor>",
    },
    Section {
        scope: Scope::AddressList,
        support: Support::Inert,
        since: "4.5",
        doc: "A set of addresses and domains: inside a processor the recipients whose mail it \
              reads; elsewhere, with a name, a suppression list.",
        example: "<address-list>",
    },
    Section {
        scope: Scope::EmailPatterns,
        support: Support::Inert,
        since: "4.5",
        doc: "Expressions by which a processor reads reports of unusual form.",
        example: "<email-patterns>",
    },
    Section {
        scope: Scope::PatternList,
        support: Support::Inert,
        since: "4.5",
        doc: "Chooses virtual MTA or priority of a message by its headers or envelope. The list \
              has to stand before the source that names it; the first match wins.",
        example: "<pattern-list by-sender>",
    },
    Section {
        scope: Scope::SmtpPatternList,
        support: Support::Inert,
        since: "4.5",
        doc: "What to do upon certain replies of receiving servers, for instance to enter backoff \
              mode. The first match wins.",
        example: "<smtp-pattern-list backoff>",
    },
    Section {
        scope: Scope::MxRollupList,
        support: Support::Inert,
        since: "4.5",
        doc: "Puts domains that share mail exchangers into one queue.",
        example: "<mx-rollup-list>",
    },
    Section {
        scope: Scope::RewriteList,
        support: Support::Inert,
        since: "5.0",
        doc: "Rewrites envelope senders and From domains.",
        example: "<rewrite-list brand>",
    },
    Section {
        scope: Scope::DomainKeyList,
        support: Support::Inert,
        since: "5.0",
        doc: "DKIM keys that a message chooses by its x-dkim-options header.",
        example: "<domain-key-list customer-7>",
    },
    Section {
        scope: Scope::TransmissionsApi,
        support: Support::Inert,
        since: "5.0",
        doc: "Settings of the HTTP interface for submitting mail.",
        example: "<transmissions-api>",
    },
    Section {
        scope: Scope::TransmissionsApiListener,
        support: Support::Inert,
        since: "5.0",
        doc: "Where the HTTP interface for submitting mail is offered; it always speaks TLS.",
        example: "<transmissions-api-listener 10.0.0.1:8443>",
    },
    Section {
        scope: Scope::Proxy,
        support: Support::Inert,
        since: "5.0r5",
        doc: "A HAProxy-protocol proxy through which mail can be sent.",
        example: "<proxy egress-1>",
    },
    Section {
        scope: Scope::Vault,
        support: Support::Inert,
        since: "5.0r5",
        doc: "A HashiCorp Vault server that holds DKIM keys.",
        example: "<vault>",
    },
    Section {
        scope: Scope::Signals,
        support: Support::Inert,
        since: "5.0",
        doc: "Upload of delivery events to SparkPost Signals.",
        example: "<signals>",
    },
    Section {
        scope: Scope::SignalsFilter,
        support: Support::Inert,
        since: "5.0",
        doc: "Which messages are reported to SparkPost Signals.",
        example: "<signals-filter>",
    },
    Section {
        scope: Scope::GmImprinter,
        support: Support::Moot(GOODMAIL),
        since: "3.0",
        doc: "Was the imprinter of Goodmail certified mail, a service that no longer exists.",
        example: "<gm-imprinter>",
    },
];
