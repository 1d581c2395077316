//! Serves the files of the web console, from the binary or from a directory. They contain no secret and need no login;
//! the data that they show comes from the API, which does.

use std::{
    borrow::Cow,
    io::Read,
    path::{Component, Path},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::read::GzDecoder;

use super::{problem::Problem, state::State};

/// A file of the console.
struct File {
    /// Name below `/`.
    name: &'static str,
    /// Changes with the content.
    tag: &'static str,
    /// Compressed with gzip.
    packed: &'static [u8],
}

/// All files, by name.
static FILES: &[File] = &include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// Content-Security-Policy: the page may load and run only files of this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Routes of `/`, `/index.html` and the folders.
pub(super) fn routes(state: &Arc<State>) -> Router {
    let mut routes = Router::new().route("/", get(serve));
    let mut folders: Vec<_> = FILES.iter().filter_map(|file| Some(file.name.split_once('/')?.0)).collect();
    folders.dedup();
    for folder in folders {
        routes = routes.route(&format!("/{folder}/{{*file}}"), get(serve));
    }
    for file in FILES.iter().filter(|file| !file.name.contains('/')) {
        routes = routes.route(&format!("/{}", file.name), get(serve));
    }
    routes.with_state(state.clone())
}

async fn serve(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let rules = state.rules.load_full();
    let name = request.uri().path().trim_start_matches('/');
    let name = if name.is_empty() { "index.html" } else { name };
    let found = match (&rules.console_dir, rules.console) {
        (_, false) => None,
        (Some(folder), true) => from_disk(folder, name),
        (None, true) => packed(name, request.headers()),
    };
    let Some(mut response) = found else {
        let detail = format!("there is nothing at {}", request.uri().path());
        return Problem::new(StatusCode::NOT_FOUND, "not-found", detail).into_response();
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // browsers revalidate a cached file each time, by its tag
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn packed(name: &str, asked: &HeaderMap) -> Option<Response> {
    let file = FILES.iter().find(|file| file.name == name)?;
    let tag = format!("\"{}\"", file.tag);
    let has = |name: header::HeaderName, part: &str| {
        asked.get_all(name).iter().any(|value| value.to_str().is_ok_and(|value| accepts(value, part)))
    };
    let head = [(header::CONTENT_TYPE, kind(name).to_owned()), (header::ETAG, tag.clone())];
    if has(header::IF_NONE_MATCH, &tag) {
        return Some((StatusCode::NOT_MODIFIED, head).into_response());
    }
    if has(header::ACCEPT_ENCODING, "gzip") {
        return Some((head, [(header::CONTENT_ENCODING, "gzip")], file.packed).into_response());
    }
    let mut plain = Vec::new();
    GzDecoder::new(file.packed).read_to_end(&mut plain).ok()?;
    Some((head, plain).into_response())
}

/// Does a comma-separated list contain this value? `gzip;q=0` does not count.
fn accepts(list: &str, wanted: &str) -> bool {
    list.split(',').any(|one| {
        let (name, quality) = one.split_once(';').unwrap_or((one, ""));
        let name = name.trim().trim_start_matches("W/");
        let refused = quality.trim().strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
        name.eq_ignore_ascii_case(wanted) && !refused
    })
}

fn from_disk(folder: &Path, name: &str) -> Option<Response> {
    let below = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let bytes = below.then(|| std::fs::read(folder.join(name)).ok())??;
    Some(([(header::CONTENT_TYPE, kind(name))], Cow::<[u8]>::Owned(bytes)).into_response())
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webmanifest" => "application/manifest+json",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_console_are_compressed_and_small() {
        let size = |file: &File| file.packed.len();
        let all: usize = FILES.iter().map(size).sum();
        assert!(all <= 300 << 10, "{all} bytes");
        assert!(FILES.iter().any(|file| file.name == "index.html"));
        assert!(FILES.windows(2).all(|two| two[0].name < two[1].name));
    }

    #[test]
    fn no_console_file_contains_inline_code_or_styles() {
        for file in FILES.iter().filter(|file| file.name.ends_with(".html")) {
            let mut text = String::new();
            GzDecoder::new(file.packed).read_to_string(&mut text).unwrap();
            for wrong in ["<style", "style=", "<script>", " onclick", "javascript:", "https://", "http://", "=\"/"] {
                assert!(!text.contains(wrong), "{}: {wrong}", file.name);
            }
        }
    }

    #[test]
    fn a_header_list_with_q_0_refuses_an_encoding() {
        assert!(accepts("gzip, deflate, br", "gzip"));
        assert!(accepts("br;q=1.0, GZIP;q=0.5", "gzip"));
        assert!(!accepts("gzip;q=0", "gzip"));
        assert!(!accepts("identity", "gzip"));
        assert!(accepts("W/\"a\", \"b\"", "\"a\""));
    }

    #[test]
    fn console_files_can_be_served_from_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(dir.path().join("secret"), "").unwrap();
        std::fs::write(inner.join("app.js"), "").unwrap();
        assert!(from_disk(&inner, "app.js").is_some());
        for wrong in ["../secret", "a/../../secret", "/etc/passwd", "none", ""] {
            assert!(from_disk(&inner, wrong).is_none(), "{wrong}");
        }
    }
}
