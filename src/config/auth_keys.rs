//! The keys of `[auth]`: a part of the table in `keys`.

use std::time::Duration;

use super::{
    auth_http::Order,
    forms::{self, Choice, Form, OptionalPath, OptionalSecret, OptionalString, OptionalText, OrWord, Switch},
    keys::{HOUR, Key, MILLISECOND, MINUTE, Table, keys, span},
    lists::{Text, Texts},
    settings::{Config, DeniedPublish},
    urls::OptionalUrl,
    words::CLIENT_ID,
};
use crate::types::SessionOwnership;

/// `[auth]`
pub(super) const AUTH: Table<Config> = Table {
    name: "auth",
    help: "Which clients may connect, and what they may do. ${NAME} in a text is replaced by that environment variable; $${ is \
           a literal ${.",
    keys: keys! { Config, config => config.auth;
        order: Order,
            "The order of the login methods. \"files\" decides about users that it knows, \"token\" about passwords \
             that are JSON Web Tokens, and \"http\" asks each [[auth.http]]. The first that knows the login decides; one that \
             none knows is refused.";
        password_file: OptionalPath,
            "The users: a password file in the format of mosquitto, written by \"dunlin passwd\" or mosquitto_passwd. \
             A client with a user name must then log in.";
        scram_from_password_file: Switch,
            "Whether lines written by mosquitto_passwd ($7$) also serve SCRAM-SHA-512. A person who reads such a line \
             can then log in with it as if it were the password. Lines of \"dunlin passwd --scram\" always serve \
             SCRAM-SHA-256 and SCRAM-SHA-512.";
        acl_file: OptionalPath,
            "Access rules: an ACL file in the format of mosquitto. Without one every client may publish and subscribe \
             to everything; with one, only what a rule allows. \"dunlin explain\" shows the rule that decides.";
        dynsec_file: OptionalPath,
            "Clients, groups and roles: the dynamic-security.json of mosquitto's plug-in. The broker writes this file \
             only for commands to $CONTROL/dynamic-security/v1 (mosquitto_ctrl dynsec). It takes the place of acl_file; \
             users of password_file can log in too.";
        session_owner: Choice(&[("user", SessionOwnership::User), ("anyone", SessionOwnership::Anyone)]),
            "Who may take over a session. \"user\": a client is refused if its Client Identifier belongs to a \
             connection or stored session of another configured user (MQTT 3.1.1: code 2); a session without a user \
             (its client was anonymous, or an older dunlin stored it) belongs to the next client that connects. \
             \"anyone\": every client may take over or end any session.";
        client_id: CLIENT_ID,
            "How Client Identifiers are bound to user names. \"any\": not at all. \"is-user\": the identifier must be \
             the user name. \"begins-with-user\": it must be the user name, or begin with it and continue with \
             neither a letter nor a digit, as bob-1. \"from-user\": the user name replaces it, as with mosquitto's \
             use_username_as_clientid. Except with \"any\", clients without a user name are refused.";
        client_id_prefixes: Texts(Text("lamp-")),
            "A Client Identifier must begin with one of these; other clients are refused. Empty: any identifier.";
        auto_id_prefix: OptionalString { most: 50 },
            "The beginning of each Client Identifier that the broker assigns to a client with an empty one.";
        allow_zero_length_client_id: Switch,
            "Whether a client may send an empty Client Identifier; the broker then assigns one.";
        check_retain_source: Switch,
            "Whether a retained message is sent only if the client that published it may still publish to its topic, by \
             auth.acl_file or auth.dynsec_file. Without this, a retained message stays until it is replaced or cleared.";
        denied_publish: Choice(&[("ignore", DeniedPublish::Ignore), ("disconnect", DeniedPublish::Disconnect)]),
            "What happens to a PUBLISH that no rule allows: it is acknowledged and dropped, or its client is \
             disconnected.";
        failed_login_delay: OrWord { form: span(MILLISECOND, MINUTE), word: "off", zero: true },
            "The first delay of a refused login, after three different wrong passwords for a user from one address \
             (IPv6: a /64). At most 16 refusals of an address are delayed at a time; further logins that did not \
             succeed recently wait for them. \"off\": no delays, so passwords can be guessed as fast as they are \
             compared.";
        token_secret: OptionalSecret,
            "The secret of JSON Web Tokens (HS256) that clients send as their password, preferably as \"${NAME}\".";
        token_secret_file: OptionalPath, "A file with that secret.";
        token_key_file: OptionalPath, "The public key of those tokens in PEM: RSA (RS256) or P-256 (ES256).";
        token_jwks_file: OptionalPath, "Several keys, as a JSON Web Key Set.";
        token_jwks_url: OptionalUrl("https://login.example.org/realms/main/protocol/openid-connect/certs"),
            "Where an identity provider publishes its keys, as a JSON Web Key Set: they are fetched when they are needed, \
             and again while they are used. token_issuer and token_audience are required then.";
        token_introspection_url: OptionalUrl("https://login.example.org/realms/main/protocol/openid-connect/token/introspect"),
            "Where a provider is asked about tokens that are not JWTs, or that no key here has signed (RFC 7662; with \
             token_jwks_url, keys decide about every JWT); also about passwords that may be such tokens. The next two keys and token_audience are required then.";
        token_introspection_client_id: OptionalText, "The client_id of this broker there (HTTP Basic).";
        token_introspection_secret_file: OptionalPath, "A file with the client_secret of this broker there.";
        token_ca_file: OptionalPath,
            "TLS: the authorities of the provider's certificate, in PEM. Unset: those of this machine.";
        token_issuer: OptionalText, "The required value of the claim iss of a token.";
        token_audience: OptionalText,
            "The required value of the claim aud of a token, or one of its values. \"any\": tokens for every audience pass.";
        token_leeway: span(Duration::ZERO, HOUR), "Tolerated difference between the clocks of the issuer and of the broker (exp, nbf).";
        token_user_claim: OptionalText,
            "The claim of a token that is the user name; a user name in CONNECT must equal it. Unset: any user name \
             may be used with any token.";
    },
};
