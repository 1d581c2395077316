//! The cases: an ACL file, and the rights of clients by it.

/// A client's request, and the expected result.
#[derive(Debug)]
pub struct Case {
    pub kind: Kind,
    pub client: &'static str,
    pub user: Option<&'static str>,
    /// The filter that the client, or the watcher, subscribes to.
    pub filter: &'static str,
    /// The topic that is published to.
    pub topic: &'static str,
    pub expected: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// It publishes at this QoS.
    Publish(u8),
    /// Its Will is published.
    Will,
    /// It is subscribed when a message is published.
    Receive,
    /// It subscribes when a message is retained.
    Retained,
    /// It is away when a message is published, and returns.
    Queued,
}

/// Appended to each file: a user that sees and sends everything.
pub const WATCHER: &str = "user watcher\ntopic #\ntopic $x/#\ntopic $SYS/#\n";

const fn case(
    kind: Kind,
    client: &'static str,
    user: &'static str,
    filter: &'static str,
    topic: &'static str,
    expected: bool,
) -> Case {
    let user = if user.is_empty() { None } else { Some(user) };
    Case { kind, client, user, filter, topic, expected }
}

const fn publish(client: &'static str, user: &'static str, topic: &'static str, expected: bool) -> Case {
    case(PUBLISH, client, user, topic, topic, expected)
}

const fn receive(client: &'static str, user: &'static str, topic: &'static str, expected: bool) -> Case {
    case(RECEIVE, client, user, topic, topic, expected)
}

const PUBLISH: Kind = Kind::Publish(1);
const RECEIVE: Kind = Kind::Receive;

pub const ACLS: &[(&str, &[Case])] = &[
    (
        // only the watcher
        "",
        &[
            publish("c", "", "a", false),
            receive("c", "", "a", false),
            publish("c", "bob", "a", false),
            receive("c", "bob", "a", false),
        ],
    ),
    (
        // the words, and whose rules are whose
        "# anonymous clients\n\
         topic read r/#\n\
         topic write w/#\n\
         topic readwrite rw/+\n\
         topic plain\n\
         \n\
         user bob\n\
         topic read b/r\n\
         topic write b/w\n\
         topic b/both/#\n\
         user eve\n\
         topic deny e/secret/#\n\
         topic e/#\n\
         topic deny e/+/late\n\
         user bob\n\
         topic read later\n",
        &[
            receive("c", "", "r/x", true),
            publish("c", "", "r/x", false),
            receive("c", "", "r", true),
            publish("c", "", "w/x", true),
            receive("c", "", "w/x", false),
            publish("c", "", "rw/x", true),
            receive("c", "", "rw/x", true),
            publish("c", "", "rw/x/y", false),
            receive("c", "", "rw/x/y", false),
            publish("c", "", "plain", true),
            receive("c", "", "plain", true),
            publish("c", "", "plain/x", false),
            // rules of others are not theirs
            publish("c", "", "b/w", false),
            publish("c", "bob", "plain", false),
            receive("c", "bob", "r/x", false),
            publish("c", "nobody", "plain", false),
            receive("c", "nobody", "b/r", false),
            receive("c", "bob", "b/r", true),
            publish("c", "bob", "b/r", false),
            publish("c", "bob", "b/w", true),
            receive("c", "bob", "b/w", false),
            publish("c", "bob", "b/both/x/y", true),
            receive("c", "bob", "b/both", true),
            receive("c", "bob", "later", true),
            publish("c", "Bob", "b/w", false),
            // a denial goes first, wherever it stands
            publish("c", "eve", "e/x", true),
            publish("c", "eve", "e/secret/x", false),
            receive("c", "eve", "e/secret", false),
            publish("c", "eve", "e/x/late", false),
            receive("c", "eve", "e/x/late", false),
            receive("c", "eve", "e/x/later", true),
            // at each QoS
            case(Kind::Publish(0), "c", "eve", "e/x", "e/x", true),
            case(Kind::Publish(0), "c", "eve", "#", "e/secret/x", false),
            case(Kind::Publish(2), "c", "eve", "e/x", "e/x", true),
            case(Kind::Publish(2), "c", "eve", "#", "e/secret/x", false),
        ],
    ),
    (
        // the filter is subscribed to, but the message is not received
        "topic read r/#\ntopic deny r/no\nuser bob\ntopic read only/one\n",
        &[
            case(RECEIVE, "c", "", "#", "r/x", true),
            case(RECEIVE, "c", "", "#", "r/no", false),
            case(RECEIVE, "c", "", "#", "other", false),
            case(RECEIVE, "c", "", "+/x", "r/x", true),
            case(RECEIVE, "c", "", "r/no", "r/no", false),
            case(RECEIVE, "c", "bob", "only/+", "only/one", true),
            case(RECEIVE, "c", "bob", "only/+", "only/two", false),
            case(Kind::Retained, "c", "", "#", "r/x", true),
            case(Kind::Retained, "c", "", "#", "r/no", false),
            case(Kind::Retained, "c", "bob", "only/two", "only/two", false),
            case(Kind::Queued, "q", "", "#", "r/x", true),
            case(Kind::Queued, "q", "", "#", "r/no", false),
            case(Kind::Queued, "q", "bob", "only/+", "only/one", true),
            case(Kind::Queued, "q", "bob", "only/+", "only/two", false),
        ],
    ),
    (
        "topic write will/ok\ntopic read will/#\nuser bob\ntopic will/bob\n",
        &[
            case(Kind::Will, "w", "", "will/ok", "will/ok", true),
            case(Kind::Will, "w", "", "#", "will/other", false),
            case(Kind::Will, "w", "bob", "#", "will/bob", true),
            case(Kind::Will, "w", "bob", "#", "will/ok", false),
        ],
    ),
    (
        // patterns
        "topic deny p/denied/c\n\
         user bob\n\
         topic read mine\n\
         topic deny u/bob/never\n\
         topic u/bob/always\n\
         pattern write p/%c\n\
         pattern read p/+/%c\n\
         pattern u/%u/#\n\
         pattern deny u/%u/no\n\
         pattern deny u/%u/always\n\
         pattern readwrite both/%u/%c\n\
         pattern x%c/y\n\
         pattern fixed\n",
        &[
            publish("c", "", "p/c", true),
            publish("c", "", "p/d", false),
            receive("c", "", "p/c", false),
            receive("c", "", "p/any/c", true),
            receive("c", "", "p/denied/c", false),
            receive("c", "bob", "p/denied/c", true),
            // without a user name, a pattern with %u is nothing
            publish("c", "", "u/bob/x", false),
            publish("c", "", "u/%u/x", false),
            publish("c", "", "both//c", false),
            publish("c", "bob", "u/bob/x", true),
            receive("c", "bob", "u/bob", true),
            publish("c", "bob", "u/eve/x", false),
            publish("c", "eve", "u/eve/x/y", true),
            publish("c", "bob", "u/bob/no", false),
            receive("c", "eve", "u/eve/no", false),
            // the user's own rules go over patterns
            publish("c", "bob", "u/bob/never", false),
            publish("c", "bob", "u/bob/always", true),
            publish("c", "eve", "u/eve/always", false),
            receive("c", "bob", "mine", true),
            publish("c", "bob", "both/bob/c", true),
            publish("c", "bob", "both/c/bob", false),
            publish("c", "bob", "xc/y", true),
            publish("c", "bob", "xd/y", false),
            publish("c", "bob", "fixed", true),
            publish("c", "", "fixed", true),
            // names with a level in them, and with what would be a wildcard
            publish("a/b", "", "p/a/b", true),
            publish("%u", "bob", "p/%u", true),
            publish("%c", "bob", "both/bob/%c", true),
            publish("c", "a/b", "u/a/b/x", true),
            publish("+", "", "p/c", false),
            publish("#", "", "p/c", false),
            publish("c+", "", "p/c", false),
            publish("+", "", "fixed", false),
            receive("#", "bob", "mine", true),
            publish("c", "#", "u/bob/x", false),
            publish("c", "b+b", "fixed", false),
        ],
    ),
    (
        // topics that begin with $
        "topic #\nuser bob\ntopic $SYS/#\ntopic $x/y\nuser eve\ntopic +/y\ntopic read $x/+\n",
        &[
            publish("c", "", "any/topic", true),
            receive("c", "", "any/topic", true),
            publish("c", "", "$x/y", false),
            receive("c", "", "$x/y", false),
            publish("c", "bob", "$x/y", true),
            receive("c", "bob", "$x/y", true),
            publish("c", "bob", "$SYS/y", false),
            publish("c", "eve", "$x/y", false),
            receive("c", "eve", "$x/y", true),
            publish("c", "eve", "a/y", true),
        ],
    ),
    (
        // blanks
        "  topic  write   a b/c  \n   \nuser   eve smith  \ntopic readwrite  e  e\ntopic read\ntopic deny\n",
        &[
            publish("c", "", "a b/c", true),
            publish("c", "", "a", false),
            publish("c", "eve smith", "e  e", true),
            publish("c", "eve", "e  e", false),
            // one word is the topic, even if it is a keyword
            publish("c", "eve smith", "read", true),
            publish("c", "eve smith", "deny", true),
        ],
    ),
];
