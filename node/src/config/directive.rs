//! One row of the table of directives, from which parser, checks, help and manual come.

/// A directive: name, where it may stand, what it takes, what it means.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// Keyword, lower case.
    pub name: &'static str,
    /// Sections in which it may stand.
    pub scopes: &'static [Scope],
    /// Arguments in order.
    pub args: &'static [Arg],
    /// Value when it is absent, as it would be written; empty when there is none.
    pub default: &'static str,
    /// May it stand more than once in a section, each adding to the others? Otherwise the last
    /// one counts.
    pub repeats: bool,
    /// What Convoy does with it.
    pub support: Support,
    /// When a change takes effect.
    pub applies: Applies,
    /// Where it stands at the top level once nodes share a configuration; within a section that of
    /// the section counts, see [`Directive::home_in`].
    pub home: Home,
    /// First version of PowerMTA's guide or of Convoy that has it: `4.5`, `5.0`, `5.0r8`,
    /// `convoy 0.1`.
    pub since: &'static str,
    /// One paragraph for the manual.
    pub doc: &'static str,
    /// One line that could stand in a file.
    pub example: &'static str,
}

/// What Convoy does with a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It takes effect.
    Active,
    /// It is checked and warned about: nothing acts on it yet.
    Inert,
    /// It is accepted and rightly without effect here; the text says why (for instance a tuning
    /// switch of another program's threads). Warned about once, by that text.
    Moot(&'static str),
    /// An old spelling of another directive.
    Alias(&'static str),
}

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// At `mtactl reload`.
    Live,
    /// At the next start.
    Restart,
}

/// Where something stands once the nodes of a cluster share a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In the configuration that all nodes share.
    Shared,
    /// In the file of each node, for it is about that machine.
    NodeLocal,
    /// In either; what the node's file says comes first.
    Overridable,
    /// In both: it reads other files in place.
    Anywhere,
}

/// A section of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Global,
    SmtpListener,
    Source,
    SourceGroup,
    SmtpUser,
    Domain,
    VirtualMta,
    VirtualMtaPool,
    AcctFile,
    Spool,
    BounceProcessor,
    FeedbackLoopProcessor,
    AddressList,
    EmailPatterns,
    PatternList,
    SmtpPatternList,
    RewriteList,
    DomainKeyList,
    BounceCategoryPatterns,
    MxRollupList,
    Dns,
    TransmissionsApi,
    TransmissionsApiListener,
    Proxy,
    Vault,
    Signals,
    SignalsFilter,
    GmImprinter,
}

/// What a section's tag takes behind its name; the text says what the manual calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagArgument {
    None,
    Optional(&'static str),
    Required(&'static str),
}

/// One argument.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// What the manual calls it: `FILE`, `N`, `TIME`.
    pub label: &'static str,
    /// What is accepted.
    pub kind: Kind,
    /// May it be left out?
    pub optional: bool,
}

/// What an argument may be. The parser checks it and says what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `yes`, `no`, `true`, `false`.
    Bool,
    /// A whole number in a range, both ends included.
    Integer { min: u64, max: u64 },
    /// The same, or `unlimited`.
    IntegerOrUnlimited { min: u64, max: u64 },
    /// `250M`, `10k`, a bare number of bytes.
    Size,
    /// The same, or `unlimited` or `0`.
    SizeOrUnlimited,
    /// `4d12h`, `300s`, a bare number of seconds.
    Time,
    /// The same, or `never`.
    TimeOrNever,
    /// Times separated by commas, at least one.
    TimeList,
    /// `unlimited`, `0`, `250/h`, `1/20m`.
    Rate,
    /// `10g/2h`, or `unlimited`.
    DataRate,
    /// One of these words, any case.
    Choice(&'static [&'static str]),
    /// A choice, or a time (`bounce-upon-no-mx`: `yes`, `no`, TIME).
    BoolOrTime,
    /// One word or quoted string.
    Word,
    /// All the rest of the line, unquoted if it is one quoted string.
    Rest,
    /// Words separated by commas to the end of the line; `""` is the empty list.
    List,
    /// A file or directory name.
    Path,
    /// An IP address.
    Address,
    /// An IP address, with a port where it is not the usual one: `127.0.0.1:5353`, `[::1]:5353`.
    Endpoint,
    /// An IP address and a port: `127.0.0.1:2526`, `[::1]:2526`.
    Socket,
    /// `HOST:PORT` that other machines can reach.
    Reach,
    /// An address with a prefix length, abbreviated forms included (`0/0`, `10.1.0/24`).
    Network,
    /// `ADDRESS[:PORT]` or `[v6]:PORT`, or a network form with port as listeners have.
    Listen,
    /// A host or domain name.
    Host,
    /// `*`, `domain`, `*.domain`, `[*.]domain`, `[ip/mask]`, `$macro`.
    DomainPattern,
    /// A mail address.
    Email,
    /// `/REGEX/`, case-insensitive.
    Regex,
    /// `/REGEX/` or a mail address.
    EmailOrRegex,
    /// Name of a virtual MTA, pool, source, list: one word.
    Name,
    /// Accounting record types, short or long, separated by commas.
    RecordTypes,
    /// A record type, then a field list.
    RecordFields,
    /// `key=value` words (`source=NAME`, `tls=yes`).
    Options(&'static [&'static str]),
    /// Words with their own grammar, checked when they are put to use; never empty.
    Special,
}

/// Rows are written as `Directive::new(..)` followed by what differs from the usual: one value,
/// no default, [`Support::Active`], [`Applies::Live`], known since 4.5.
impl Directive {
    /// A row that still wants its `doc` and `example`; a test refuses rows without them.
    #[must_use]
    pub const fn new(name: &'static str, scopes: &'static [Scope], args: &'static [Arg]) -> Self {
        Self {
            name,
            scopes,
            args,
            default: "",
            repeats: false,
            support: Support::Active,
            applies: Applies::Live,
            home: Home::Shared,
            since: "4.5",
            doc: "",
            example: "",
        }
    }

    /// The value when the directive is absent.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = value;
        self
    }

    /// It may stand more than once, each adding to the others.
    #[must_use]
    pub const fn repeated(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// It is checked, and nothing acts on it yet.
    #[must_use]
    pub const fn inert(mut self) -> Self {
        self.support = Support::Inert;
        self
    }

    /// It is rightly without effect; `why` says so to the operator.
    #[must_use]
    pub const fn moot(mut self, why: &'static str) -> Self {
        self.support = Support::Moot(why);
        self
    }

    /// It is an old spelling of `target`, which takes the same arguments.
    #[must_use]
    pub const fn alias_of(mut self, target: &'static str) -> Self {
        self.support = Support::Alias(target);
        self
    }

    /// A change takes effect at the next start.
    #[must_use]
    pub const fn at_restart(mut self) -> Self {
        self.applies = Applies::Restart;
        self
    }

    /// It is about one machine, and stays in the file of each node.
    #[must_use]
    pub const fn node_local(mut self) -> Self {
        self.home = Home::NodeLocal;
        self
    }

    /// Nodes share it, and one that differs says so in its own file.
    #[must_use]
    pub const fn overridable(mut self) -> Self {
        self.home = Home::Overridable;
        self
    }

    /// Either kind of file may have it.
    #[must_use]
    pub const fn anywhere(mut self) -> Self {
        self.home = Home::Anywhere;
        self
    }

    /// Where it stands in a cluster, seen in this section.
    #[must_use]
    pub const fn home_in(&self, scope: Scope) -> Home {
        match (scope, self.home) {
            (Scope::Global, home) | (_, home @ Home::Anywhere) => home,
            (_, Home::Shared | Home::NodeLocal | Home::Overridable) => scope.home(),
        }
    }

    /// The first version known to have it.
    #[must_use]
    pub const fn since(mut self, version: &'static str) -> Self {
        self.since = version;
        self
    }

    /// The paragraph of the manual.
    #[must_use]
    pub const fn doc(mut self, paragraph: &'static str) -> Self {
        self.doc = paragraph;
        self
    }

    /// One line that could stand in a file.
    #[must_use]
    pub const fn example(mut self, line: &'static str) -> Self {
        self.example = line;
        self
    }
}

/// A section: what it is for. Where it may be opened and what its tag takes, [`Scope`] says.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Scope of the lines inside; its tag is [`Scope::tag`].
    pub scope: Scope,
    /// Does Convoy act on it? [`Support::Alias`] does not occur.
    pub support: Support,
    /// First version known to have it.
    pub since: &'static str,
    /// One paragraph for the manual.
    pub doc: &'static str,
    /// The opening tag as it could stand in a file.
    pub example: &'static str,
}

impl Arg {
    /// An argument that must be there.
    #[must_use]
    pub const fn required(label: &'static str, kind: Kind) -> Self {
        Self { label, kind, optional: false }
    }

    /// An argument that may be left out.
    #[must_use]
    pub const fn optional(label: &'static str, kind: Kind) -> Self {
        Self { label, kind, optional: true }
    }
}

impl Scope {
    /// All sections, in the order of the manual.
    pub const ALL: [Self; 28] = [
        Self::Global,
        Self::SmtpListener,
        Self::Source,
        Self::SourceGroup,
        Self::SmtpUser,
        Self::Domain,
        Self::VirtualMta,
        Self::VirtualMtaPool,
        Self::AcctFile,
        Self::Spool,
        Self::BounceProcessor,
        Self::FeedbackLoopProcessor,
        Self::AddressList,
        Self::EmailPatterns,
        Self::PatternList,
        Self::SmtpPatternList,
        Self::RewriteList,
        Self::DomainKeyList,
        Self::BounceCategoryPatterns,
        Self::MxRollupList,
        Self::Dns,
        Self::TransmissionsApi,
        Self::TransmissionsApiListener,
        Self::Proxy,
        Self::Vault,
        Self::Signals,
        Self::SignalsFilter,
        Self::GmImprinter,
    ];

    /// The section that a tag opens, in any case.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| *s != Self::Global && s.tag().eq_ignore_ascii_case(tag))
    }

    /// What the tag takes behind its name.
    #[must_use]
    pub const fn tag_argument(self) -> TagArgument {
        match self {
            Self::SmtpListener => TagArgument::Required("ADDRESS:PORT"),
            Self::Source => TagArgument::Required("NETWORK or NAME"),
            Self::Domain => TagArgument::Required("DOMAIN"),
            Self::AcctFile => TagArgument::Required("FILE or |COMMAND"),
            Self::Spool => TagArgument::Required("DIRECTORY"),
            Self::TransmissionsApiListener => TagArgument::Required("ADDRESS:PORT"),
            Self::SourceGroup
            | Self::SmtpUser
            | Self::VirtualMta
            | Self::VirtualMtaPool
            | Self::PatternList
            | Self::SmtpPatternList
            | Self::RewriteList
            | Self::DomainKeyList
            | Self::Proxy => TagArgument::Required("NAME"),
            Self::AddressList => TagArgument::Optional("NAME"),
            Self::Global
            | Self::BounceProcessor
            | Self::FeedbackLoopProcessor
            | Self::EmailPatterns
            | Self::BounceCategoryPatterns
            | Self::MxRollupList
            | Self::Dns
            | Self::TransmissionsApi
            | Self::Vault
            | Self::Signals
            | Self::SignalsFilter
            | Self::GmImprinter => TagArgument::None,
        }
    }

    /// May this section stand directly in `outer`?
    #[must_use]
    pub const fn allowed_in(self, outer: Self) -> bool {
        match self {
            Self::Domain => {
                matches!(outer, Self::Global | Self::VirtualMta | Self::VirtualMtaPool)
            }
            Self::AddressList => {
                matches!(outer, Self::Global | Self::BounceProcessor | Self::FeedbackLoopProcessor)
            }
            Self::EmailPatterns => {
                matches!(outer, Self::BounceProcessor | Self::FeedbackLoopProcessor)
            }
            Self::SignalsFilter => matches!(outer, Self::Global | Self::Signals),
            Self::TransmissionsApiListener => {
                matches!(outer, Self::Global | Self::TransmissionsApi)
            }
            _ => matches!(outer, Self::Global),
        }
    }

    /// Where the whole section stands once nodes share a configuration; the top level is in both.
    #[must_use]
    pub const fn home(self) -> Home {
        match self {
            Self::Global => Home::Anywhere,
            Self::SmtpListener | Self::TransmissionsApiListener | Self::Spool => Home::NodeLocal,
            Self::Source
            | Self::SourceGroup
            | Self::SmtpUser
            | Self::Domain
            | Self::VirtualMta
            | Self::VirtualMtaPool
            | Self::AcctFile
            | Self::BounceProcessor
            | Self::FeedbackLoopProcessor
            | Self::AddressList
            | Self::EmailPatterns
            | Self::PatternList
            | Self::SmtpPatternList
            | Self::RewriteList
            | Self::DomainKeyList
            | Self::BounceCategoryPatterns
            | Self::MxRollupList
            | Self::Dns
            | Self::TransmissionsApi
            | Self::Proxy
            | Self::Vault
            | Self::Signals
            | Self::SignalsFilter
            | Self::GmImprinter => Home::Shared,
        }
    }

    /// Name of the section's tag; empty for the top level.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Global => "",
            Self::SmtpListener => "smtp-listener",
            Self::Source => "source",
            Self::SourceGroup => "source-group",
            Self::SmtpUser => "smtp-user",
            Self::Domain => "domain",
            Self::VirtualMta => "virtual-mta",
            Self::VirtualMtaPool => "virtual-mta-pool",
            Self::AcctFile => "acct-file",
            Self::Spool => "spool",
            Self::BounceProcessor => "bounce-processor",
            Self::FeedbackLoopProcessor => "feedback-loop-processor",
            Self::AddressList => "address-list",
            Self::EmailPatterns => "email-patterns",
            Self::PatternList => "pattern-list",
            Self::SmtpPatternList => "smtp-pattern-list",
            Self::RewriteList => "rewrite-list",
            Self::DomainKeyList => "domain-key-list",
            Self::BounceCategoryPatterns => "bounce-category-patterns",
            Self::MxRollupList => "mx-rollup-list",
            Self::Dns => "dns",
            Self::TransmissionsApi => "transmissions-api",
            Self::TransmissionsApiListener => "transmissions-api-listener",
            Self::Proxy => "proxy",
            Self::Vault => "vault",
            Self::Signals => "signals",
            Self::SignalsFilter => "signals-filter",
            Self::GmImprinter => "gm-imprinter",
        }
    }
}
