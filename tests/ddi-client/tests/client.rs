//! The client against a server that records requests.

use std::{io, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Response, StatusCode, Uri, header},
};
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;
use tidegate_ddi_client::{
    Artifact, ConfigData, Confirmation, Credentials, DdiClient, DdiError, Execution, Feedback,
    Finished, HandlingType, HttpResponse, Resource,
};
use tokio::net::TcpListener;

const FILE: &[u8] = b"not much of a firmware";
const SHA256: &str = "a82506f61d10c044e6a7835513d8074c3ae33fbac3b3704ec9a09c0c6b8bc2e8";

/// A request as the server received it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Received {
    line: String,
    authorization: Option<String>,
    range: Option<String>,
    body: String,
}

/// A prepared response.
#[derive(Clone)]
struct Answer {
    status: u16,
    /// The offset of the body in the file, for a partial response.
    offset: Option<usize>,
    body: Bytes,
    /// Bytes that the header announces although the connection breaks before them.
    missing: usize,
}

impl Answer {
    fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            offset: None,
            body: body.into(),
            missing: 0,
        }
    }

    /// The file from this offset.
    fn part(offset: usize) -> Self {
        Self {
            offset: Some(offset),
            ..Self::new(206, &FILE[offset..])
        }
    }

    /// The same, but the connection breaks before the last bytes.
    fn without_last(mut self, missing: usize) -> Self {
        self.body.truncate(self.body.len() - missing);
        self.missing = missing;
        self
    }

    fn into_response(self) -> Response<Body> {
        let length = self.body.len() + self.missing;
        let mut response = Response::builder()
            .status(self.status)
            .header(header::CONTENT_LENGTH, length);
        if let Some(offset) = self.offset {
            let range = format!("bytes {offset}-{}/{}", FILE.len() - 1, FILE.len());
            response = response.header(header::CONTENT_RANGE, range);
        }
        if self.missing == 0 {
            return response.body(self.body.into()).unwrap_or_default();
        }
        let broken = stream::once(async {
            // Lets the server send what it has.
            tokio::task::yield_now().await;
            Err(io::Error::other("broken"))
        });
        let body = stream::iter([Ok(self.body)]).chain(broken);
        response.body(Body::from_stream(body)).unwrap_or_default()
    }
}

/// A server that gives prepared answers in turn, and then 404.
#[derive(Clone)]
struct FakeServer {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
    /// The last one first.
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl FakeServer {
    async fn new<const N: usize>(mut answers: [Answer; N]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        answers.reverse();
        let server = Self {
            url: format!("http://{}", listener.local_addr()?),
            received: Arc::default(),
            answers: Arc::new(Mutex::new(answers.into())),
        };
        let router = Router::new().fallback(respond).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(server)
    }

    /// A server that accepts this number of requests.
    async fn accepting(requests: usize) -> Result<Self> {
        let server = Self::new([]).await?;
        *server.answers.lock() = vec![Answer::new(200, ""); requests];
        Ok(server)
    }

    fn client(&self) -> Result<DdiClient> {
        // Fails if a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(DdiClient::new(http, &format!("{}/", self.url), "T", "a b"))
    }

    /// The request lines and bodies, without the path of the root resource.
    fn received(&self) -> Vec<(String, String)> {
        let received = self.received.lock();
        let shorten = |one: &Received| {
            let line = one.line.replace("/T/controller/v1/a%20b", ".");
            (line, one.body.clone())
        };
        received.iter().map(shorten).collect()
    }

    fn ranges(&self) -> Vec<Option<String>> {
        let received = self.received.lock();
        received.iter().map(|one| one.range.clone()).collect()
    }

    fn artifact(&self, sha256: &str) -> Result<Artifact> {
        let file = serde_json::json!({
            "filename": "os.img", "size": FILE.len(),
            "hashes": { "sha1": "", "md5": "", "sha256": sha256 },
            "_links": { "download-http": { "href": format!("{}/file", self.url) } },
        });
        Ok(serde_json::from_value(file)?)
    }
}

async fn respond(
    State(server): State<FakeServer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let field = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
    server.received.lock().push(Received {
        line: format!("{method} {uri}"),
        authorization: field(header::AUTHORIZATION),
        range: field(header::RANGE),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let answer = server.answers.lock().pop();
    answer
        .unwrap_or_else(|| Answer::new(404, "unknown"))
        .into_response()
}

#[tokio::test]
async fn reports_are_sent_to_their_resources() -> Result<()> {
    let server = FakeServer::accepting(7).await?;
    let client = server.client()?;
    let feedback = Feedback::new(Execution::Closed, Finished::Success);
    client
        .config_data(&ConfigData::merge([("hw_model", "edge")]))
        .await?;
    client.feedback("7", &feedback).await?;
    client.cancel_feedback("7", &feedback).await?;
    client.confirm("7", &Confirmation::new(false)).await?;
    client.activate_auto_confirm("ada", None).await?;
    client.deactivate_auto_confirm().await?;
    assert!(!client.report_installed("edge-os", "2.0.0").await?);

    let closed =
        r#"{"status":{"execution":"closed","result":{"finished":"success"},"details":[]}}"#;
    let expected = [
        (
            "PUT ./configData",
            r#"{"mode":"merge","data":{"hw_model":"edge"}}"#,
        ),
        ("POST ./deploymentBase/7/feedback", closed),
        ("POST ./cancelAction/7/feedback", closed),
        (
            "POST ./confirmationBase/7/feedback",
            r#"{"confirmation":"denied","details":[]}"#,
        ),
        (
            "POST ./confirmationBase/activateAutoConfirm",
            r#"{"initiator":"ada"}"#,
        ),
        ("POST ./confirmationBase/deactivateAutoConfirm", ""),
        (
            "PUT ./installedBase",
            r#"{"name":"edge-os","version":"2.0.0"}"#,
        ),
    ];
    let received = server.received();
    let received: Vec<_> = received
        .iter()
        .map(|(line, body)| (line.as_str(), body.as_str()))
        .collect();
    assert_eq!(received, expected);
    Ok(())
}

#[tokio::test]
async fn an_update_is_followed_from_link_to_link() -> Result<()> {
    let server = FakeServer::new([]).await?;
    let root = format!("{}/T/controller/v1/a%20b", server.url);
    let poll = format!(
        r#"{{"config":{{"polling":{{"sleep":"00:05:00"}}}},"_links":{{
            "deploymentBase":{{"href":"{root}/deploymentBase/7?c=1"}},
            "cancelAction":{{"href":"{root}/cancelAction/7"}}}}}}"#
    );
    let offer = r#"{"id":"7","deployment":{"download":"forced","update":"attempt","chunks":[]}}"#;
    let cancel = r#"{"id":"9","cancelAction":{"stopId":"7"}}"#;
    let base = r#"{"autoConfirm":{"active":false,"activatedAt":0},"_links":{}}"#;
    *server.answers.lock() = vec![
        Answer::new(200, base),
        Answer::new(200, cancel),
        Answer::new(200, offer),
        Answer::new(200, poll),
    ];
    let client = server.client()?;
    assert_eq!(client.base(), root);
    let poll = client.poll().await?;
    assert_eq!(poll.sleep(), Duration::from_mins(5));
    let offer = client
        .offer(poll.deployment_base().context("no update")?)
        .await?;
    assert_eq!(offer.id, "7");
    assert_eq!(offer.deployment.update, HandlingType::Attempt);
    let stopped = client
        .cancel(poll.cancel_action().context("no cancellation")?)
        .await?;
    assert_eq!(stopped, "7");
    assert!(!client.confirmation_base().await?.auto_confirm.active);
    let lines: Vec<String> = server
        .received()
        .into_iter()
        .map(|(line, _)| line)
        .collect();
    assert_eq!(
        lines,
        [
            "GET .",
            "GET ./deploymentBase/7?c=1",
            "GET ./cancelAction/7",
            "GET ./confirmationBase"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn only_200_is_success() -> Result<()> {
    let feedback = Feedback::new(Execution::Proceeding, Finished::None);
    for (status, is_gone) in [
        (201, false),
        (204, false),
        (401, false),
        (404, true),
        (405, true),
        (410, true),
        (429, false),
        (500, false),
    ] {
        let body = if status == 204 { "" } else { "why" };
        let server = FakeServer::new([Answer::new(status, body)]).await?;
        let failed = server.client()?.feedback("7", &feedback).await;
        let error = failed.err().context("it succeeded")?;
        assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
        assert_eq!(error.is_gone(), is_gone, "{error}");
        assert!(
            error
                .to_string()
                .ends_with(&format!("/deploymentBase/7/feedback -> {status} {body}")),
            "{error}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn statuses_with_a_meaning_are_no_errors() -> Result<()> {
    let server = FakeServer::new([Answer::new(409, ""), Answer::new(201, "")]).await?;
    let client = server.client()?;
    client.activate_auto_confirm("ada", Some("on site")).await?;
    assert!(client.report_installed("edge-os", "2.0.0").await?);
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_not_the_message_is_an_error() -> Result<()> {
    for body in [
        "",
        "<html>",
        "{}",
        r#"{"config":{"polling":{"sleep":"soon"}}}"#,
    ] {
        let server = FakeServer::new([Answer::new(200, body)]).await?;
        let polled = server.client()?.poll().await;
        assert!(
            matches!(polled, Err(DdiError::Invalid { .. })),
            "{polled:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_an_error_of_the_network() -> Result<()> {
    // Bound, so that no other process listens there, but not listening.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let server = FakeServer::new([]).await?;
    let unreachable = FakeServer {
        url: format!("http://{}", socket.local_addr()?),
        ..server
    };
    let polled = unreachable.client()?.poll().await;
    assert!(matches!(polled, Err(DdiError::Network(_))), "{polled:?}");
    Ok(())
}

#[tokio::test]
async fn credentials_are_sent_to_the_server_only() -> Result<()> {
    let server = FakeServer::accepting(3).await?;
    let other = FakeServer::accepting(1).await?;
    let token = Credentials::Target("secret".to_owned());
    let client = server.client()?.with_credentials(token);
    let get = async |path: &str| {
        let response = HttpResponse::fetch(client.request(Method::GET, path)).await?;
        response.expect_status(200)
    };
    get("").await?;
    get(&Resource::InstalledBase("7").to_string()).await?;
    get(&format!("{}/file", server.url)).await?;
    get(&format!("{}/file", other.url)).await?;
    let sent = |server: &FakeServer| -> Vec<Option<String>> {
        let received = server.received.lock();
        received
            .iter()
            .map(|one| one.authorization.clone())
            .collect()
    };
    assert_eq!(
        sent(&server),
        vec![Some("TargetToken secret".to_owned()); 3]
    );
    assert_eq!(sent(&other), [None]);
    Ok(())
}

#[tokio::test]
async fn untyped_requests_show_the_whole_response() -> Result<()> {
    let server = FakeServer::new([Answer::part(4), Answer::new(418, r#"{"a":[1]}"#)]).await?;
    let client = server.client()?;
    let request = client.request(Method::DELETE, "x?y").body("text");
    let part = HttpResponse::fetch(request).await?;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.header("content-range"), "bytes 4-21/22");
    assert_eq!((part.header("etag"), &part.body[..]), ("", &FILE[4..]));
    assert!(part.json().is_err());
    assert_eq!(
        server.received(),
        [("DELETE ./x?y".to_owned(), "text".to_owned())]
    );
    let response = HttpResponse::fetch(client.request(Method::GET, "")).await?;
    let response = response.expect_status(418)?;
    assert_eq!(response.json()?["a"][0], 1);
    assert!(response.expect_status(200).is_err());
    Ok(())
}

#[tokio::test]
async fn a_download_continues_after_a_broken_connection() -> Result<()> {
    let whole = Answer::new(200, FILE);
    let server = FakeServer::new([
        whole.clone().without_last(12),
        Answer::part(10).without_last(4),
        Answer::new(503, "busy"),
        // Without support for ranges.
        whole,
    ])
    .await?;
    let client = server.client()?;
    let artifact = server.artifact(SHA256)?;
    let mut download = client.download(&artifact);
    let (mut bytes, mut failures) = (Vec::new(), Vec::new());
    loop {
        match download.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => failures.push((download.received(), error)),
        }
    }
    assert_eq!(bytes, FILE);
    let [
        (10, DdiError::Network(_)),
        (18, DdiError::Network(_)),
        (18, busy),
    ] = &failures[..]
    else {
        panic!("{failures:?}");
    };
    assert_eq!(busy.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
    let ranges = server.ranges();
    let ranges: Vec<Option<&str>> = ranges.iter().map(Option::as_deref).collect();
    assert_eq!(
        ranges,
        [
            None,
            Some("bytes=10-"),
            Some("bytes=18-"),
            Some("bytes=18-")
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_download_continues_from_stored_bytes() -> Result<()> {
    let server = FakeServer::new([Answer::part(7)]).await?;
    let client = server.client()?;
    let artifact = server.artifact(SHA256)?;
    let mut download = client.download(&artifact);
    download.add_stored(&FILE[..7]);
    download.discard_rest().await?;
    assert_eq!(server.ranges(), [Some("bytes=7-".to_owned())]);

    // Nothing is left to request.
    let mut download = client.download(&artifact);
    download.add_stored(FILE);
    assert_eq!(download.chunk().await?, None);
    assert_eq!(server.ranges().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_file_that_does_not_match_is_corrupt() -> Result<()> {
    let longer = [FILE, b"!"].concat();
    let changed = FILE.to_ascii_uppercase();
    for (what, stored, answer) in [
        ("another size", 0, Answer::new(200, &FILE[..9])),
        ("larger", 0, Answer::new(200, longer)),
        ("another hash", 0, Answer::new(200, changed)),
        ("another range", 7, Answer::part(6)),
        ("no range", 7, Answer::new(206, &FILE[7..])),
    ] {
        let server = FakeServer::new([answer]).await?;
        let client = server.client()?;
        let artifact = server.artifact(SHA256)?;
        let mut download = client.download(&artifact);
        if stored > 0 {
            download.add_stored(&FILE[..stored]);
        }
        let error = download.discard_rest().await.err().context(what)?;
        assert!(matches!(error, DdiError::Corrupt { .. }), "{what}: {error}");
    }
    // Stored bytes of another file.
    let server = FakeServer::new([Answer::part(3)]).await?;
    let (client, artifact) = (server.client()?, server.artifact(SHA256)?);
    let mut download = client.download(&artifact);
    download.add_stored(b"???");
    let error = download.discard_rest().await.err().context("it matches")?;
    assert!(error.to_string().contains("sha256"), "{error}");
    Ok(())
}
