//! The owners of sessions, and the Client Identifiers that a user may have. A client with the identifier of another
//! user gets neither that user's messages nor its session.

use super::super::{
    Router, RouterThread,
    ports::{Identity, Login, SessionOwner, caught},
    sessions::SlotState,
    thread::Count,
};
use crate::{
    codec::{Connect, ReasonCode},
    session::CloseReason,
    types::{ClientId, ClientIdBinding, SessionOwnership, UserName},
};

/// What happens to a session that a client requests.
pub(crate) enum Claim {
    /// The client gets it.
    Granted,
    /// It ends, and the client gets a new one: the previous user is not configured any more.
    Ends,
}

impl Router {
    /// Checks or changes the Client Identifier, if it is bound to the user name (`auth.client_id`). `client`: from the
    /// CONNECT, or assigned.
    pub(crate) fn bind_client_id(
        &self,
        local: &RouterThread,
        connect: &Connect<'_>,
        client: ClientId,
        identity: &Identity,
    ) -> Result<ClientId, CloseReason> {
        let binding = local.limits.client_id;
        // identifiers of the broker itself have no owner
        if binding == ClientIdBinding::Any || client.as_str().starts_with('$') {
            return Ok(client);
        }
        let Some(user) = identity.user.as_deref() else {
            local.count(Count::RefusedLogins, 1);
            let why = "auth.client_id binds Client Identifiers to user names, and the client has none";
            return Err(CloseReason::Refused { code: ReasonCode::NotAuthorized, why: why.into() });
        };
        let is_given = !connect.client_id.is_empty();
        let wrong = |asked: &str| {
            local.count(Count::RefusedLogins, 1);
            let why = format!("the Client Identifier of user {user:?} has to {asked} its user name (auth.client_id)");
            Err(CloseReason::Refused { code: ReasonCode::ClientIdentifierNotValid, why: why.into() })
        };
        match binding {
            ClientIdBinding::IsUser if is_given && client.as_str() != user => wrong("be"),
            ClientIdBinding::IsUser | ClientIdBinding::FromUser => Ok(ClientId::from(user)),
            ClientIdBinding::BeginsWithUser if !is_given => Ok(self.sessions.new_client_id(&format!("{user}-"))),
            ClientIdBinding::BeginsWithUser if !begins_with(client.as_str(), user) => {
                wrong("be, or begin with (and go on with neither a letter nor a digit),")
            }
            ClientIdBinding::Any | ClientIdBinding::BeginsWithUser => Ok(client),
        }
    }

    /// The user that owns a client's sessions. `None`: the user is not authenticated.
    pub(crate) fn owner_of(&self, identity: &Identity) -> Option<Box<SessionOwner>> {
        let login = self.ports.authenticate.as_ref()?.login(identity)?;
        Some(Box::new(SessionOwner { user: UserName::from(identity.user.as_deref()?), login }))
    }

    /// May a client of this user have the session? An error refuses its CONNECT.
    pub(crate) fn claim(
        &self,
        local: &RouterThread,
        client: &ClientId,
        state: &SlotState,
        comer: Option<&SessionOwner>,
    ) -> Result<Claim, CloseReason> {
        let Some(owner) = &state.whose else { return Ok(Claim::Granted) };
        if local.limits.session_owner == SessionOwnership::Anyone || comer.is_some_and(|comer| comer.user == owner.user)
        {
            return Ok(Claim::Granted);
        }
        let user = owner.user.as_str();
        // if a plug-in panics, the user counts as configured
        let is_configured = |authenticate: &std::sync::Arc<dyn super::super::Authenticate>| {
            caught(|| authenticate.is_configured(owner)).unwrap_or(true)
        };
        if !self.ports.authenticate.as_ref().is_some_and(is_configured) {
            let (client, login) = (client.as_str(), owner.login.name());
            tracing::info!(target: "dunlin::router", client, user, login, "session ended: its user was removed from the configuration");
            return Ok(Claim::Ends);
        }
        local.count(Count::RefusedLogins, 1);
        let comer =
            comer.map_or_else(|| "an anonymous client".into(), |comer| format!("user {:?}", comer.user.as_str()));
        let why = format!(
            "the session with this Client Identifier is that of user {user:?} ({}), and {comer} asks for it; \
             auth.session_owner = \"anyone\" and a reload would let it in",
            owner.login.name()
        );
        Err(CloseReason::Refused { code: ReasonCode::ClientIdentifierNotValid, why: why.into() })
    }
}

impl Login {
    fn name(self) -> &'static str {
        match self {
            Self::PasswordFile => "auth.password_file",
            Self::Token => "auth.token_…",
            Self::Certificate => "a certificate",
            Self::PlugIn => "a plug-in",
            Self::Http => "auth.http",
        }
    }
}

/// Is it the user's name, or does it begin with that? `bobby` does not begin with `bob`.
fn begins_with(client: &str, user: &str) -> bool {
    client.strip_prefix(user).is_some_and(|rest| rest.chars().next().is_none_or(|next| !next.is_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_identifier_begins_with_the_whole_user_name() {
        let table = [
            ("bob", true),
            ("bob-1", true),
            ("bob/kitchen", true),
            ("bobby", false),
            ("bob1", false),
            ("bo", false),
            ("Bob", false),
            ("bobä", false),
        ];
        for (client, expected) in table {
            assert_eq!(begins_with(client, "bob"), expected, "{client}");
        }
    }
}
