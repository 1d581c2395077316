//! Runs a test in a private network and mount namespace: for fixed ports, and for mounts that end with the test.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

/// The user of the test in the namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// root itself, which may give files to other users.
    Root,
    /// root, or a user that is root within.
    Anybody,
}

/// Runs `test`, in another process, which runs the test of this name, with a directory of its own. Loopback is up, and
/// there is nothing else. Where the machine does not allow it, `DUNLIN_NO_MOUNT=1` leaves the test out; one for root is
/// left out where there is no root.
pub fn alone(name: &str, who: As, test: impl FnOnce(&Path)) {
    const WITHIN: &str = "DUNLIN_TEST_ALONE";
    // loopback is down in a new network, and iproute2 is not everywhere
    const UP: &str = "import fcntl,socket,struct\n\
                      fcntl.ioctl(socket.socket(),0x8914,struct.pack('16sh14x',b'lo',0x49))";
    if let Some(dir) = env::var_os(WITHIN) {
        ran(Command::new("python3").args(["-c", UP]));
        return test(Path::new(&dir));
    }
    let is_root = rustix::process::geteuid().is_root();
    if env::var_os("DUNLIN_NO_MOUNT").is_some_and(|value| value == "1") || who == As::Root && !is_root {
        return println!("NOT RUN, as it needs root, or namespaces: {name}");
    }
    let dir = tempfile::tempdir().unwrap();
    // other users have to get there
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m", "-n"]).args((!is_root).then_some("-r"));
    command.arg(env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]).env(WITHIN, dir.path());
    let output = command.output().expect("unshare runs");
    let [said, also] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{also}");
}

/// Runs a command that has to succeed.
pub fn ran(command: &mut Command) {
    let status = command.status().expect("it runs");
    assert!(status.success(), "{command:?}");
}

/// Are the clients of mosquitto there? A run that needs them fails without.
pub fn has_mosquitto_clients() -> bool {
    let found =
        Command::new("mosquitto_sub").arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(found || env::var_os("DUNLIN_NEEDS_MOSQUITTO").is_none(), "mosquitto_sub is not installed");
    found
}
