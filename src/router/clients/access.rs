//! The user and the compiled rights of a client. The router asks the ports for them when the client connects, and again
//! after [`Router::permissions_changed`].

use std::{sync::Arc, task::Waker};

use super::super::{
    Router, RouterThread,
    ports::{Authentication, Credentials, Identity, Peer, Proof, Refusal, Rights, Verdict, caught},
    sessions::{Access, ConnectionId, NoEvents, SlotRef, SlotState},
    thread::{Count, Observers},
};
use crate::{
    codec::{Connect, PropertiesBuf, PropertyId, ReasonCode},
    session::CloseReason,
    topic::TopicName,
    types::ClientId,
};

impl Router {
    /// Authenticates a client before [`connect`](Self::connect). Returns its Client Identifier, from the CONNECT or
    /// assigned, and the verdict, which may be pending. `certificate`: the fields `certificate_name` and
    /// `names_in_certificates` of [`Credentials`].
    pub fn authenticate(
        &self,
        local: &mut RouterThread,
        connect: &Connect<'_>,
        peer: Peer,
        certificate: (Option<&str>, bool),
    ) -> Result<(ClientId, Verdict), CloseReason> {
        let client = {
            let listeners = self.ports.listeners.load();
            let own = listeners.get(usize::from(peer.listener));
            if own.is_some_and(|own| !own.versions.is_empty() && !own.versions.contains(&connect.version)) {
                let why = "its listener does not serve this version of MQTT (protocol_versions)".into();
                return Err(CloseReason::Refused { code: ReasonCode::UnsupportedProtocolVersion, why });
            }
            self.client_id(local, connect, own)?
        };
        let method = connect.properties.text(PropertyId::AuthenticationMethod);
        let serves = |method: &str| self.ports.authenticate.as_ref().is_some_and(|plug_in| plug_in.serves(method));
        if method.is_some_and(|method| !serves(method)) {
            let why = "its CONNECT has an Authentication Method that is not served [MQTT-4.12.0-1]".into();
            return Err(CloseReason::Refused { code: ReasonCode::BadAuthenticationMethod, why });
        }
        let data = connect.properties.bytes(PropertyId::AuthenticationData);
        let authentication = method.map(|method| Authentication { method, data });
        let (certificate_name, names_in_certificates) = certificate;
        let username = certificate_name.or(connect.username);
        self.refuse_banned(local, &client, username, peer)?;
        let Some(authenticate) = &self.ports.authenticate else {
            let identity = Identity { user: username.map(Into::into), ..Identity::default() };
            return Ok((client, Ok(identity).into()));
        };
        let (client_id, password) = (client.as_str(), connect.password);
        let (version, properties) = (connect.version, connect.properties);
        let credentials = Credentials {
            client_id,
            username,
            certificate_name,
            names_in_certificates,
            password,
            authentication,
            peer,
            version,
            will: connect.will.as_ref().map(|will| will.topic),
            properties,
        };
        let verdict = authenticate.authenticate(&credentials);
        Ok((client, verdict))
    }

    /// Counts a refused client. Returns the reason for its connection.
    pub fn refuse(&self, local: &RouterThread, refusal: Refusal) -> CloseReason {
        let Refusal { code, why } = refusal;
        if matches!(code, ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized) {
            local.count(Count::RefusedLogins, 1);
        } else if code == ReasonCode::Banned {
            local.count(Count::RefusedBanned, 1);
        }
        CloseReason::Refused { code, why }
    }

    /// The properties of a CONNECT, if rights depend on them.
    pub(crate) fn read_properties(&self, connect: &Connect<'_>) -> Option<Arc<PropertiesBuf>> {
        let authorize = self.ports.authorize.as_ref().filter(|_| !connect.properties.is_empty())?;
        authorize.reads_properties().then(|| Arc::new(connect.properties.into()))
    }

    /// The state to keep of an accepted client. `None`: nothing is known about it and it may do everything.
    pub(crate) fn access(&self, client: &ClientId, identity: Identity) -> Option<Arc<Access>> {
        let revoked = self.ports.authenticate.as_ref().is_some_and(|a| !a.knows(&identity));
        let rights = self.ports.authorize.as_ref().and_then(|authorize| authorize.rights(client, &identity));
        let has_events = self.limits.load().has_events;
        let rights = rights.or_else(|| has_events.then(|| Arc::new(NoEvents) as Arc<dyn Rights>));
        let nobody = identity.user.is_none() && identity.proof == Proof::None && identity.properties.is_none();
        if !revoked && rights.is_none() && nobody && identity.narrowed.is_none() {
            return None;
        }
        let any = |is: fn(&dyn Rights) -> bool| rights.iter().chain(&identity.narrowed).any(|rights| is(&**rights));
        let limits_reading = any(|rights| rights.limits_reading()) || has_events;
        let reads_messages = any(|rights| rights.reads_messages());
        let asks = any(|rights| rights.asks());
        if revoked || rights.is_some() || identity.narrowed.is_some() {
            self.permissions.limit();
        }
        let mut access = Access::new(identity, rights);
        (access.limits_reading, access.reads_messages, access.revoked) = (limits_reading, reads_messages, revoked);
        access.asks = asks;
        Some(Arc::new(access))
    }

    /// The rights of a connection's client, without any cost if no client's rights are limited. If another connection
    /// has taken the session over, its rights are in the slot: packets of this connection are not checked against them.
    #[inline]
    pub(crate) fn access_of(
        &self,
        slot: &SlotRef,
        connection: ConnectionId,
    ) -> Result<Option<Arc<Access>>, CloseReason> {
        if self.permissions.are_unlimited() {
            return Ok(None);
        }
        let state = slot.lock();
        if slot.is_owned_by(connection) { Ok(state.access.clone()) } else { Err(CloseReason::SessionTakenOver) }
    }

    /// Call it after users or rules changed and the ports answer by the new ones. Connections of clients that would not
    /// be accepted any more end. Others get their new rights from their next packet on, and queued messages that they
    /// may not receive any more are skipped until they may again.
    pub fn permissions_changed(&self) {
        // `connect` compares the version before and after
        self.permissions.change();
        let mut wakes = Vec::new();
        let (mut skipped, mut of_sessions) = (0, 0);
        for slot in self.sessions.all() {
            let mut state = slot.lock();
            if state.ended {
                continue;
            }
            let newly_skipped = self.recompile(&mut state);
            skipped += newly_skipped;
            of_sessions += usize::from(newly_skipped > 0);
            // it may read more than before
            let waits = state.session.has_waiting();
            if waits || state.access.as_ref().is_some_and(|access| access.is_revoked()) {
                slot.signal(&state, &mut wakes);
            }
        }
        if skipped > 0 {
            tracing::warn!(
                target: "dunlin::router",
                messages = skipped,
                sessions = of_sessions,
                "queued messages skipped until their clients may receive them again (auth.acl_file)"
            );
        }
        // rules for remembered topics are evaluated again; a thread that evaluated the old rules meanwhile sees another
        // version
        self.permissions.change();
        self.subscriptions.make_all_stale();
        wakes.into_iter().for_each(Waker::wake);
    }

    /// Sets the rights of a session's client to those of the ports. Returns the number of newly skipped messages.
    pub(crate) fn recompile(&self, state: &mut SlotState) -> usize {
        // a client within the process may do everything
        if state.restored_unauthenticated || state.session.is_inside() {
            return 0;
        }
        let (origin, version) = (state.origin, state.version);
        let nobody = || Identity { origin, version, ..Identity::default() };
        let identity = state.access.as_ref().map_or_else(nobody, |access| access.identity.clone());
        let user = identity.user.clone();
        let access = caught(|| self.access(state.session.id(), identity)).unwrap_or_else(|| {
            let client = state.session.id().as_str();
            tracing::error!(
                client,
                user,
                "a plug-in panicked while it authorized this client: the client may do nothing"
            );
            Some(Arc::new(Access::nothing(user)))
        });
        self.set_access(state, access)
    }

    /// Sets the rights of a client. Queued messages that it may not receive any more are skipped and stay: the operator
    /// may correct the rules. Returns the number of newly skipped messages.
    pub(crate) fn set_access(&self, state: &mut SlotState, access: Option<Arc<Access>>) -> usize {
        let limited = access.as_ref().filter(|access| access.limits_reading);
        let mut skipped = 0;
        if limited.is_some() || state.session.skipped() > 0 {
            // if a plug-in panics about a message, it is skipped too
            let may =
                |topic: &TopicName| limited.is_none_or(|access| caught(|| access.may_receive(topic)).unwrap_or(false));
            skipped = state.session.skip_unreadable(may);
            state.session.tell_backlog_to(|before, now| self.counters.holds(before, now));
            self.counters.add_skipped(skipped);
        }
        let owner = access.as_ref().and_then(|access| access.owner());
        if owner != state.owner() {
            self.sessions.owners.remove(state.owner());
            self.sessions.owners.add(owner);
        }
        let closing = state.closing();
        state.access = access;
        if let Some(reason) = closing {
            state.close(reason);
        }
        state.restored_unauthenticated = false;
        if state.waker().is_some() && state.access.as_ref().is_some_and(|access| access.asks) {
            state.session.ask_first();
        }
        skipped
    }
}

impl SlotState {
    /// The user that owns the session, if the user is authenticated.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.access.as_ref().and_then(|access| access.owner())
    }

    /// May the session's client receive a message with this topic?
    #[inline]
    pub(crate) fn may_receive(&self, topic: &TopicName, observers: &Observers) -> bool {
        match &self.access {
            Some(access) if access.limits_reading => asked_to_receive(access, topic, observers),
            _ => true,
        }
    }
}

#[inline(never)]
fn asked_to_receive(access: &Access, topic: &TopicName, observers: &Observers) -> bool {
    observers.call(false, || access.may_receive(topic))
}
