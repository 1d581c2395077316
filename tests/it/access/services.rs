//! Login services: `[[auth.http]]`. The services are threads of the test.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use dunlin::{
    Config,
    config::{
        AuthConfig, AuthHttpConfig, AuthHttpFormat, AuthHttpMethod, GoAuthAnswers, LoginWay, OnServiceError, Secret,
    },
    router::Count,
};
use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

use super::{
    Files, password,
    tokens::{SECRET, for_an_hour, now},
};
use crate::support::{
    Broker, five,
    raw::{Client, Connect, Message, connack, suback, subscribe, text},
    running::Running,
    wait_until,
};

/// A login service, and the requests that it received.
#[derive(Clone)]
pub struct Service {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// No answer is held any more.
    released: Arc<Condvar>,
}

struct State {
    asked: Vec<Request>,
    /// The answers by user name: status and body. Others get 404.
    answers: HashMap<String, (u16, String)>,
    /// It closes its connections without an answer.
    is_down: bool,
    /// The user whose answer waits; `*`: all wait.
    holds: Option<String>,
    /// Requests without an answer, now and at most.
    now: usize,
    most: usize,
}

#[derive(Clone, Debug)]
pub struct Request {
    line: String,
    pub headers: String,
    pub body: String,
}

impl Service {
    pub fn new(answers: &[(&str, u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let answers = answers.iter().map(|(user, status, body)| ((*user).into(), (*status, (*body).into())));
        let state =
            State { asked: Vec::new(), answers: answers.collect(), is_down: false, holds: None, now: 0, most: 0 };
        let service = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new(Mutex::new(state)),
            released: Arc::default(),
        };
        let (state, released) = (service.state.clone(), service.released.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, released) = (state.clone(), released.clone());
                thread::spawn(move || serve(stream, &state, &released));
            }
        });
        service
    }

    pub fn config(&self, change: impl FnOnce(&mut AuthHttpConfig)) -> AuthHttpConfig {
        let mut config = AuthHttpConfig { url: format!("http://{}/mqtt", self.address), ..AuthHttpConfig::default() };
        change(&mut config);
        config
    }

    /// A broker that asks it.
    fn broker(&self, change: impl FnOnce(&mut AuthHttpConfig)) -> Broker {
        Broker::new(asks(vec![self.config(change)]))
    }

    pub fn asked(&self) -> usize {
        self.state.lock().asked.len()
    }

    pub fn last(&self) -> Request {
        self.state.lock().asked.last().cloned().expect("it was asked")
    }

    pub fn answers(&self, user: &str, status: u16, body: &str) {
        self.state.lock().answers.insert(user.into(), (status, body.into()));
    }

    /// The body of its answer to this user.
    pub fn answer(&self, user: &str) -> String {
        self.state.lock().answers[user].1.clone()
    }

    /// The answer to this user waits until another is held.
    pub fn holds(&self, user: Option<&str>) {
        self.state.lock().holds = user.map(Into::into);
        self.released.notify_all();
    }

    /// Largest number of concurrent requests.
    pub fn most(&self) -> usize {
        self.state.lock().most
    }

    /// Number of requests about this user.
    pub fn asked_about(&self, user: &str) -> usize {
        self.state.lock().asked.iter().filter(|request| request.user().is_some_and(|name| name == user)).count()
    }

    pub fn is_down(&self, is_down: bool) {
        self.state.lock().is_down = is_down;
    }
}

impl Request {
    /// The user that it is about; with a topic, also the kind of access and the topic.
    fn user(&self) -> Option<String> {
        let Ok(json) = serde_json::from_str::<Value>(&self.body) else {
            return Some(self.line.split("user=").nth(1).unwrap_or_default().split([' ', '&']).next()?.to_owned());
        };
        let user = json["username"].as_str().unwrap_or_default();
        Some(match json["topic"].as_str() {
            Some(topic) => format!("{user} {} {topic}", json["acc"]),
            None => user.to_owned(),
        })
    }
}

/// Answers requests until the other side has gone.
fn serve(mut stream: TcpStream, state: &Mutex<State>, released: &Condvar) -> Option<()> {
    loop {
        let request = read(&mut stream)?;
        let user = request.user()?;
        state.lock().asked.push(request);
        let (status, body) = {
            let mut state = state.lock();
            state.now += 1;
            state.most = state.most.max(state.now);
            released
                .wait_while(&mut state, |state| state.holds.as_ref().is_some_and(|held| *held == user || held == "*"));
            state.now -= 1;
            if state.is_down {
                return None;
            }
            state.answers.get(&user).cloned().unwrap_or((404, String::new()))
        };
        let length = if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        write!(stream, "HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\n{length}\r\n{body}").ok()?;
    }
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let (line, headers) = head.split_once("\r\n")?;
    let headers = headers.to_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(Request { line: line.into(), headers, body: String::from_utf8(body).ok()? })
}

pub fn asks(services: Vec<AuthHttpConfig>) -> Config {
    let auth = AuthConfig { services, failed_login_delay: None, ..AuthConfig::default() };
    Config { auth, ..crate::support::config() }
}

pub fn login(client: &str, user: &str) -> Connect {
    Connect::new(client).user(user, &password(user))
}

/// The same in MQTT 5.
pub fn five_login(client: &str, user: &str) -> five::Connect {
    let mut connect = five::Connect::new(client);
    connect.flags |= 0xC0;
    connect.user = [text(user), text(password(user))].concat();
    connect
}

const ALLOW: &str = r#"{"result": "allow"}"#;
const DENY: &str = r#"{"result": "deny"}"#;

#[test]
fn a_login_service_decides() {
    let service =
        Service::new(&[("ann", 200, ALLOW), ("bob", 200, DENY), ("cy", 204, ""), ("di", 200, "{}"), ("ed", 500, "")]);
    let broker = service.broker(|_| ());
    broker.connect(&login("c1", "ann"), 0).disconnect();
    let request = service.last();
    assert_eq!(request.line, "POST /mqtt HTTP/1.1");
    assert!(request.headers.contains("content-type: application/json\r\n"), "{}", request.headers);
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body, json!({"username": "ann", "clientid": "c1", "password": "nna", "peerhost": "127.0.0.1"}));
    broker.connect(&login("c2", "cy"), 0).disconnect();
    for user in ["bob", "di", "ed", "unknown"] {
        broker.refuses(&login("c3", user), 4);
    }
    // it counts as a login: anonymous clients are refused
    broker.refuses(&Connect::new("c4"), 5);
    assert_eq!((service.asked(), broker.count(Count::RefusedLogins)), (6, 5));
    // a password alone
    let mut five = five::Five::open(broker.address());
    five.send(&five::Connect::new("c5").frame());
    five.expect_refused(0x87);
}

#[test]
fn a_request_to_a_login_service_has_the_configured_texts() {
    let service = Service::new(&[("a%26n", 200, ALLOW)]);
    let broker = service.broker(|config| {
        config.url = format!("http://{}/q/${{clientid}}?user=${{username}}&p=${{password}}", service.address);
        config.method = AuthHttpMethod::Get;
        config.headers =
            vec![Secret("X-Client: ${clientid} ${protocol_version}".into()), Secret("authorization: Bearer x".into())];
    });
    broker.connect(&Connect::new("c/1").user("a&n", "p=\"ä"), 0).disconnect();
    let request = service.last();
    assert_eq!(request.line, "GET /q/c%2F1?user=a%26n&p=p%3D%22%C3%A4 HTTP/1.1");
    assert!(request.headers.contains("x-client: c/1 4\r\n") && request.headers.contains("authorization: bearer x\r\n"));
    // a name that cannot be in a header is no name, and the service is not down for it
    broker.refuses(&Connect::new("c\u{1}").user("a&n", "x"), 4);
    broker.connect(&Connect::new("c/2").user("a&n", "x"), 0).disconnect();
    let form = service.broker(|config| {
        config.headers = vec![Secret("content-type: Application/X-WWW-Form-Urlencoded; charset=utf-8".into())];
        config.url += "?user=x";
        config.body = Some("user=${username}&password=${password}".into());
    });
    form.refuses(&Connect::new("c").user("a&n", "p=1"), 4);
    assert_eq!(service.last().body, "user=a%26n&password=p%3D1");
}

#[test]
fn answers_are_known_for_a_while() {
    let service = Service::new(&[("ann", 200, ALLOW), ("bob", 200, DENY)]);
    let broker = service.broker(|config| config.cache_no = Duration::from_secs(20));
    for _ in 0..3 {
        broker.connect(&login("c", "ann"), 0).disconnect();
        broker.refuses(&login("c", "bob"), 4);
    }
    assert_eq!(service.asked(), 2);
    // another password, another client
    broker.connect(&Connect::new("c").user("ann", "other"), 0).disconnect();
    broker.connect(&login("d", "ann"), 0).disconnect();
    assert_eq!(service.asked(), 4);
    broker.turn(Duration::from_secs(21));
    broker.refuses(&login("c", "bob"), 4);
    broker.connect(&login("c", "ann"), 0).disconnect();
    assert_eq!(service.asked(), 5, "a no is known for 20 s, a yes for a minute");
    broker.turn(Duration::from_secs(40));
    broker.connect(&login("c", "ann"), 0).disconnect();
    assert_eq!(service.asked(), 6);
}

#[test]
fn concurrent_equal_logins_share_one_request() {
    let service = Service::new(&[("ann", 200, ALLOW)]);
    let broker = service.broker(|config| config.max_requests = 4);
    // 20 clients, each of which tries 50 times
    let sockets: Vec<_> = (0..1_000)
        .map(|n| {
            let mut client = broker.open();
            client.send(&login(&format!("c{}", n % 20), "ann").frame());
            client
        })
        .collect();
    for mut socket in sockets {
        // the later client takes the earlier one's place, before or behind its CONNACK
        if let Some(answer) = socket.read() {
            assert_eq!(answer.bytes(), [0x20, 2, 0, 0]);
        }
    }
    assert_eq!(service.asked(), 20);
}

#[test]
fn the_rules_of_an_answer_apply_to_publish_subscribe_and_delivery() {
    let acl = |rules: Value| json!({"result": "allow", "acl": rules}).to_string();
    let rules = acl(json!([
        {"permission": "deny", "action": "all", "topic": "a/secret"},
        {"permission": "allow", "action": "all", "topic": "a/#"},
        {"permission": "allow", "action": "subscribe", "topic": "own/${clientid}"},
    ]));
    let superuser = r#"{"result": "allow", "is_superuser": true}"#;
    let service = Service::new(&[("ann", 200, &rules), ("root", 200, superuser), ("cy", 200, ALLOW)]);
    let files = Files::new();
    let mut config = asks(vec![service.config(|_| ())]);
    config.auth.acl_file = Some(files.write("acl", "user cy\ntopic read x\n"));
    let broker = Broker::new(config);
    let mut root = broker.connect(&login("root-1", "root"), 0);
    root.subscribe(&[("#", 1)]);
    let mut ann = broker.connect(&login("ann-1", "ann"), 0);
    for topic in ["a/secret", "own/ann-1", "x"] {
        ann.publish(Message::new(topic, "denied").qos(1));
    }
    ann.publish(Message::new("a/b", "1").qos(1));
    root.expect_message("a/b", "1", 1);
    ann.send(&subscribe(1, &[("a/#", 1), ("own/ann-1", 1), ("a/secret", 1)]));
    ann.expect(&suback(1, &[1, 1, 0x80]));
    // of a client without rules in its answer, those of the file decide
    let mut cy = broker.connect(&login("cy-1", "cy"), 0);
    cy.subscribe(&[("#", 1)]);
    let mut publisher = broker.connect(&login("root-2", "root"), 0);
    for (topic, payload) in [("a/secret", "2"), ("own/ann-1", "3"), ("other", "4"), ("a/b", "5"), ("x", "6")] {
        publisher.publish(Message::new(topic, payload).qos(1));
        root.expect_message(topic, payload, 1);
    }
    ann.expect_message("own/ann-1", "3", 1);
    ann.expect_message("a/b", "5", 1);
    ann.expect_nothing_pending();
    cy.expect_message("x", "6", 1);
    cy.expect_nothing_pending();
}

#[test]
fn a_login_ends_at_the_expiry_of_its_answer() {
    let service = Service::new(&[]);
    service.answers("ann", 200, &json!({"result": "allow", "expire_at": now() + 100}).to_string());
    service.answers("bob", 200, &json!({"result": "allow", "expire_at": now() - 1}).to_string());
    let broker = service.broker(|_| ());
    broker.refuses(&login("c", "bob"), 4);
    let mut ann = broker.connect(&login("c", "ann"), 0);
    broker.turn(Duration::from_secs(110));
    ann.expect_closed();
}

#[test]
fn a_service_that_is_down_is_not_a_wrong_password() {
    let service = Service::new(&[("ann", 200, ALLOW), ("garbage", 200, "allow"), ("redirect", 302, "")]);
    let broker = service.broker(|config| {
        config.cache_yes = Duration::from_secs(10);
        config.stale_while_down = Duration::from_secs(100);
    });
    for user in ["garbage", "redirect"] {
        broker.refuses(&login("c", user), 3);
    }
    broker.connect(&login("c", "ann"), 0).disconnect();
    service.is_down(true);
    broker.turn(Duration::from_secs(20));
    broker.connect(&login("c", "ann"), 0).disconnect();
    broker.refuses(&login("d", "ann"), 3);
    assert_eq!(five::Five::connect(broker.address(), &five_login("d", "ann")).1.code, 0x88);
    let (_, connack) = five::Five::connect(broker.address(), &five::Connect::new("e"));
    assert_eq!(connack.code, 0x87, "anonymous");
    broker.turn(Duration::from_secs(100));
    broker.refuses(&login("c", "ann"), 3);
    service.is_down(false);
    broker.connect(&login("c", "ann"), 0).disconnect();
}

#[test]
fn a_service_that_is_down_is_logged_once_a_minute() {
    let service = Service::new(&[("ann", 200, ALLOW)]);
    service.is_down(true);
    let files = Files::new();
    let config = files.write("dunlin.toml", format!("[[auth.http]]\nurl = 'http://{}/mqtt'\n", service.address));
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.env_clear().args(["--config", config.to_str().unwrap(), "--log-level", "info", "test", "--listen"]);
    let mut running = Running::run(command.arg("127.0.0.1:0"));
    running.wait_until_ready();
    let line = running.wait_for("test bench");
    let http = line.split_once("http://").unwrap().1.trim_matches('"').parse().unwrap();
    let refused = |running: &mut Running, code| {
        let mut client = Client::open(running.addresses[0]);
        client.send(&login("c", "ann").frame());
        client.expect_refused(code);
        running.wait_for(" refused ");
    };
    const DOWN: &str = "ERROR a login service is down (auth.http)";
    let lines = |running: &Running| running.read.iter().filter(|line| line.contains(DOWN)).count();
    for minute in 1..3 {
        (0..3).for_each(|_| refused(&mut running, 3));
        assert_eq!(lines(&running), minute, "{:#?}", running.read);
        let answer = crate::testing::ask(http, "POST", "clock", &json!({ "advance": "61s" }));
        assert_eq!(answer.0, 200, "{answer:?}");
    }
    service.is_down(false);
    Client::accepted(running.addresses[0], &login("c", "ann"), 0).disconnect();
    running.wait_for("a login service answers again (auth.http)");
    running.stop();
}

#[test]
fn so_many_requests_are_sent_at_the_same_time() {
    let users = ["u0", "u1", "u2", "u3", "u4"];
    let service = Service::new(&users.map(|user| (user, 200, ALLOW)));
    let mut config = asks(vec![service.config(|config| config.max_requests = 2)]);
    config.http = crate::http::http("");
    config.http.metrics_open = true;
    let broker = Broker::new(config);
    service.holds(Some("*"));
    let mut clients: Vec<_> = users
        .iter()
        .map(|user| {
            let mut client = broker.open();
            client.send(&login(user, user).frame());
            client
        })
        .collect();
    let metrics = || crate::http::get(crate::http::address(&broker), "/metrics").body;
    let waiting = "dunlin_auth_http_waiting{service=\"http\"} 5";
    wait_until(|| metrics().lines().any(|line| line == waiting), metrics);
    wait_until(|| service.asked() == 2, || service.asked().to_string());
    service.holds(None);
    clients.iter_mut().for_each(|client| client.expect(&connack(0, 0)));
    assert_eq!((service.asked(), service.most()), (5, 2));
}

#[test]
fn a_session_belongs_to_the_user_whom_a_service_accepted() {
    let service = Service::new(&[("ann", 200, ALLOW), ("bob", 200, ALLOW)]);
    let mut broker = service.broker(|_| ());
    broker.connect(&login("lamp", "ann").persistent(), 0).disconnect();
    broker.refuses(&login("lamp", "bob").persistent(), 2);
    broker.connect(&login("lamp", "ann").persistent(), 1).disconnect();
    // its users are not configured any more when no service is
    broker.reload(|config| {
        config.auth.services = Vec::new();
        config.auth.token_secret = Some(Secret(SECRET.into()));
    });
    broker.connect(&Connect::new("lamp").user("bob", &for_an_hour("bob")).persistent(), 0).disconnect();
}

#[test]
fn a_service_that_sleeps_is_down_after_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let timeout = Duration::from_millis(300);
    let broker = Broker::new(asks(vec![AuthHttpConfig { url, timeout, ..AuthHttpConfig::default() }]));
    broker.refuses(&login("c", "ann"), 3);
    drop(listener);
    broker.refuses(&login("c", "ann"), 3);
}

#[test]
fn login_methods_are_tried_in_their_order() {
    let files = Files::new();
    let first = Service::new(&[("ann", 200, ALLOW), ("bob", 200, DENY)]);
    let second = Service::new(&[("bob", 200, ALLOW), ("cy", 200, ALLOW), ("dan", 200, ALLOW)]);
    let mut config = asks(vec![first.config(|_| ()), second.config(|config| config.name = "second".into())]);
    config.auth.password_file = Some(files.users(&["ann", "dan"]));
    config.auth.token_secret = Some(Secret(SECRET.into()));
    let mut broker = Broker::new(config);
    // `files` knows ann, so no service is asked about any password of hers
    broker.connect(&login("c", "ann"), 0).disconnect();
    broker.refuses(&Connect::new("c").user("ann", "wrong"), 4);
    assert_eq!((first.asked(), second.asked()), (0, 0));
    broker.connect(&Connect::new("c").user("eve", &for_an_hour("eve")), 0).disconnect();
    broker.refuses(&Connect::new("c").user("eve", "eyJ.not.one"), 4);
    assert_eq!((first.asked(), second.asked()), (0, 0));
    // the first service decides about bob, and does not know cy
    broker.refuses(&login("c", "bob"), 4);
    broker.connect(&login("c", "cy"), 0).disconnect();
    assert_eq!((first.asked(), second.asked()), (2, 1));
    // services first
    broker.reload(|config| config.auth.order = [LoginWay::Http, LoginWay::Files, LoginWay::Token]);
    broker.connect(&Connect::new("c").user("ann", "anything"), 0).disconnect();
    second.answers("dan", 404, "");
    broker.connect(&login("c", "dan"), 0).disconnect();
    broker.refuses(&Connect::new("c").user("dan", "wrong"), 4);
    broker.connect(&Connect::new("c").user("eve", &for_an_hour("eve")), 0).disconnect();
    // one that is down
    first.is_down(true);
    broker.refuses(&login("c", "cyril"), 3);
    broker.reload(|config| config.auth.services[0].on_error = OnServiceError::Next);
    second.answers("cyril", 200, ALLOW);
    broker.connect(&login("c", "cyril"), 0).disconnect();
    broker.refuses(&login("c", "nobody"), 3);
    broker.connect(&login("c2", "dan"), 0).disconnect();
}

#[test]
fn a_user_of_a_file_logs_in_with_a_token_unless_files_are_first() {
    let files = Files::new();
    let mut config = crate::support::config();
    config.auth.password_file = Some(files.users(&["ann"]));
    config.auth.token_secret = Some(Secret(SECRET.into()));
    config.auth.failed_login_delay = None;
    let mut broker = Broker::new(config);
    let with_token = Connect::new("c").user("ann", &for_an_hour("ann"));
    broker.connect(&with_token, 0).disconnect();
    broker.connect(&login("c", "ann"), 0).disconnect();
    // a token of another user is no password of hers
    broker.refuses(&Connect::new("c").user("ann", &for_an_hour("bob")), 4);
    broker.reload(|config| config.auth.order = [LoginWay::Files, LoginWay::Token, LoginWay::Http]);
    broker.refuses(&with_token, 4);
    broker.connect(&login("c", "ann"), 0).disconnect();
    // `files` does not know him
    broker.connect(&Connect::new("c").user("bob", &for_an_hour("bob")), 0).disconnect();
}

#[test]
fn a_cached_answer_is_for_one_listener() {
    let service = Service::new(&[("ann", 200, ALLOW)]);
    let mut config = asks(vec![service.config(|_| ())]);
    config.listeners.push(config.listeners[0].clone());
    let broker = Broker::new(config);
    let addresses = broker.server.local_addrs();
    for (listener, asked) in [(0, 1), (1, 2), (0, 2), (1, 2)] {
        Client::accepted(addresses[listener], &login("c", "ann"), 0).disconnect();
        assert_eq!(service.asked(), asked);
    }
}

#[test]
fn a_login_service_closes_the_http_side() {
    let service = Service::new(&[("ann", 200, ALLOW)]);
    let config = asks(vec![service.config(|_| ())]);
    let broker = Broker::new(Config { http: crate::http::http(""), ..config });
    let at = crate::http::address(&broker);
    for path in ["/metrics", "/api/v1/broker", "/api/v1/logins"] {
        assert_eq!(crate::http::get(at, path).code(), "no-users", "{path}");
    }
    assert_eq!((crate::http::get(at, "/readyz").status, service.asked()), (200, 0));
}

#[test]
fn removing_a_service_closes_connections_of_its_logins() {
    let service = Service::new(&[("ann", 200, ALLOW)]);
    let mut broker = service.broker(|_| ());
    let mut ann = broker.connect(&login("c", "ann"), 0);
    // a change that does not concern the service
    broker.reload(|config| config.limits.max_queued_messages += 1);
    ann.publish(Message::new("a", "1").qos(1));
    broker.reload(|config| config.auth.services[0].url += "/other");
    ann.expect_closed();
}

#[test]
fn guesses_are_delayed() {
    let service = Service::new(&[("ann", 200, ALLOW), ("bob", 200, DENY)]);
    // the clock is turned faster than the service answers
    let timeout = Duration::from_secs(1_000_000_000);
    let mut config = asks(vec![service.config(|config| {
        config.timeout = timeout;
        config.max_requests = 1;
    })]);
    config.auth.failed_login_delay = Some(Duration::from_secs(10));
    let broker = Broker::new(config);
    for n in 0..3 {
        broker.refuses(&Connect::new("c").user("bob", &format!("{n}")), 4);
    }
    let mut fourth = broker.open();
    fourth.send(&Connect::new("c").user("bob", "4").frame());
    wait_until(|| service.asked() == 4, || service.asked().to_string());
    // she is asked about when the answer before is known
    broker.connect(&login("ann-1", "ann"), 0).disconnect();
    fourth.expect_no_bytes();
    broker.turn_until(Duration::from_secs(1), || broker.count(Count::RefusedLogins) == 4);
    fourth.expect_refused(4);
}

#[test]
fn guesses_are_delayed_at_each_service_of_the_order() {
    let [first, second] = [(); 2].map(|()| Service::new(&[]));
    let mut config = asks(vec![first.config(|_| ()), second.config(|config| config.name = "second".into())]);
    config.auth.failed_login_delay = Some(Duration::from_secs(10));
    config.http = crate::http::http("");
    config.http.metrics_open = true;
    let broker = Broker::new(config);
    let guess = |n: usize| Connect::new("c").user("ann", &n.to_string());
    (0..3).for_each(|n| broker.refuses(&guess(n), 4));
    let send = |n| {
        let mut client = broker.open();
        client.send(&guess(n).frame());
        client
    };
    // their refusals are delayed, and the clock stands
    let delayed: Vec<_> = (3..19)
        .map(|n| {
            let client = send(n);
            wait_until(|| second.asked() == n + 1, || second.asked().to_string());
            client
        })
        .collect();
    let _waits = send(19);
    let metrics = || crate::http::get(crate::http::address(&broker), "/metrics").body;
    let waits = "dunlin_auth_http_waiting{service=\"http\"} 1";
    wait_until(|| metrics().lines().any(|line| line == waits), || format!("no {waits} in\n{}", metrics()));
    assert_eq!((first.asked(), second.asked(), delayed.len()), (19, 19, 16));
    // a login that a later method accepts is not a guess at the first
    second.answers("bob", 200, ALLOW);
    drop(delayed);
    broker.turn(Duration::from_secs(1_000));
    for n in 0..20 {
        broker.connect(&Connect::new("b").user("bob", &n.to_string()), 0).disconnect();
    }
}

#[test]
fn services_for_go_auth() {
    for (answers, yes, no) in [
        (GoAuthAnswers::Status, (200, "{}"), (401, "")),
        (GoAuthAnswers::Json, (200, r#"{"ok": true, "error": ""}"#), (200, r#"{"ok": false, "error": "no"}"#)),
        (GoAuthAnswers::Text, (200, "ok"), (200, "wrong password")),
    ] {
        let service = Service::new(&[("ann", yes.0, yes.1), ("bob", no.0, no.1), ("ed", 500, "")]);
        let superuser = Service::new(&[("ann", no.0, no.1)]);
        let files = Files::new();
        let mut config = asks(vec![service.config(|config| {
            config.format = AuthHttpFormat::GoAuth;
            config.answers = answers;
            config.superuser_url = Some(format!("http://{}/superuser", superuser.address));
        })]);
        config.auth.acl_file = Some(files.write("acl", "user ann\ntopic a\n"));
        let broker = Broker::new(config);
        // the ACL file decides for other users than superusers
        let mut ann = broker.connect(&login("ann-1", "ann"), 0);
        ann.subscribe(&[("#", 1)]);
        superuser.answers("ann", yes.0, yes.1);
        let mut root = broker.connect(&login("ann-2", "ann"), 0);
        root.publish(Message::new("b", "1").qos(1));
        root.publish(Message::new("a", "2").qos(1));
        ann.expect_message("a", "2", 1);
        let mut reader = broker.connect(&login("ann-2", "ann"), 0);
        reader.subscribe(&[("#", 1)]);
        root = broker.connect(&login("ann-3", "ann"), 0);
        root.publish(Message::new("b", "3").qos(1));
        reader.expect_message("b", "3", 1);
        assert_eq!((service.asked(), superuser.asked()), (3, 3), "one is known");
        let body: Value = serde_json::from_str(&superuser.last().body).unwrap();
        assert_eq!(body, json!({"username": "ann"}));
        broker.refuses(&login("c", "bob"), 4);
        broker.refuses(&login("c", "ed"), 3);
        superuser.is_down(true);
        broker.refuses(&login("ann-4", "ann"), 3);
    }
}

/// A stand-in for the supervisor: it wants the header of an add-on, and answers by the status.
#[test]
fn logins_of_home_assistant_use_files_and_the_supervisor() {
    let supervisor = Service::new(&[("ann", 200, r#"{"result": "ok", "data": {}}"#)]);
    let files = Files::new();
    files.users(&["addons"]);
    let text = format!(
        "[auth]\npassword_file = \"passwords\"\norder = [\"files\", \"token\", \"http\"]\n[[auth.http]]\nformat = \"go-auth\"\n\
         url = \"http://{}/auth\"\nheaders = [\"Authorization: Bearer ${{PATH}}\", \"Content-Type: \
         application/x-www-form-urlencoded\"]\nbody = \"user=${{username}}&password=${{password}}\"\n",
        supervisor.address
    );
    let read = dunlin::config::load(&files.write("dunlin.toml", text)).unwrap();
    let broker = Broker::new(Config { auth: read.auth, ..crate::support::config() });
    broker.connect(&login("c", "addons"), 0).disconnect();
    assert_eq!(supervisor.asked(), 0);
    // the form is read as the line of a GET would be
    broker.refuses(&login("c", "ann"), 4);
    let request = supervisor.last();
    assert_eq!((request.line.as_str(), request.body.as_str()), ("POST /auth HTTP/1.1", "user=ann&password=nna"));
    assert!(request.headers.contains("authorization: bearer /"), "{}", request.headers);
    supervisor.answers("", 200, r#"{"result": "ok", "data": {}}"#);
    broker.connect(&login("d", "ann"), 0).disconnect();
}

#[test]
fn each_service_is_in_the_metrics() {
    let service = Service::new(&[("ann", 200, ALLOW), ("bob", 200, DENY)]);
    let files = Files::new();
    let mut config = asks(vec![service.config(|_| ())]);
    config.http = crate::http::http("");
    config.auth.password_file = Some(files.users(&["op"]));
    config.http.metrics_open = true;
    let broker = Broker::new(config);
    broker.connect(&login("c", "ann"), 0).disconnect();
    broker.connect(&login("c", "ann"), 0).disconnect();
    broker.refuses(&login("c", "bob"), 4);
    let metrics = crate::http::get(crate::http::address(&broker), "/metrics").body;
    for line in [
        "dunlin_auth_http_requests_total{service=\"http\",answer=\"allow\"} 1",
        "dunlin_auth_http_requests_total{service=\"http\",answer=\"deny\"} 1",
        "dunlin_auth_http_requests_total{service=\"http\",answer=\"error\"} 0",
        "dunlin_auth_http_cache_hits_total{service=\"http\"} 1",
        "dunlin_auth_http_stale_total{service=\"http\"} 0",
        "dunlin_auth_http_waiting{service=\"http\"} 0",
        "dunlin_auth_http_up{service=\"http\"} 1",
    ] {
        assert!(metrics.lines().any(|one| one == line), "no {line} in\n{metrics}");
    }
}
