//! The names of the links to files.

use tidegate_core::settings::DdiLinks;

use crate::{raw_http::get, test_server::TestServer};

const BASE: &str = "/lab/controller/v1/dev-1";

/// The links to the first file of this list, in the order of their names.
async fn links(
    server: &TestServer,
    path: &str,
    list: &str,
) -> anyhow::Result<Vec<(String, String)>> {
    let body = server.send(get(format!("{BASE}/{path}"))).await?.json();
    let links = body.pointer(list).map(|files| &files[0]["_links"]);
    let links = links.and_then(|links| links.as_object()).cloned();
    let links = links.unwrap_or_default().into_iter();
    Ok(links
        .map(|(name, link)| (name, link["href"].as_str().unwrap_or_default().to_owned()))
        .collect())
}

#[tokio::test]
async fn links_to_files_have_the_names_that_the_tenant_sets() -> anyhow::Result<()> {
    let default = DdiLinks::default();
    for (server_default, tenant, expected) in [
        (default, None, &["download-http", "md5sum-http"][..]),
        (
            DdiLinks::Both,
            Some(DdiLinks::Http),
            &["download-http", "md5sum-http"],
        ),
        (default, Some(DdiLinks::Https), &["download", "md5sum"]),
        (DdiLinks::Https, None, &["download", "md5sum"]),
        (
            default,
            Some(DdiLinks::Both),
            &["download", "download-http", "md5sum", "md5sum-http"],
        ),
    ] {
        let server =
            TestServer::anonymous_with(|settings| settings.ddi_links = server_default).await?;
        server.set_ddi_links(tenant).await?;
        server.send(get(BASE)).await?;
        let update = server.offer("dev-1", "1.1.0").await?;
        let file = "http://gate.example:8080/LAB/controller/v1/dev-1/softwaremodules/1/artifacts/edge%201.bin";
        let expected: Vec<_> = expected
            .iter()
            .map(|name| {
                let end = if name.starts_with("md5sum") {
                    ".MD5SUM"
                } else {
                    ""
                };
                ((*name).to_owned(), format!("{file}{end}"))
            })
            .collect();
        for (path, list) in [
            (
                format!("deploymentBase/{update}"),
                "/deployment/chunks/0/artifacts",
            ),
            ("softwaremodules/1/artifacts".to_owned(), ""),
        ] {
            let found = links(&server, &path, list).await?;
            assert_eq!(found, expected, "{server_default:?} {tenant:?} {path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_change_of_the_names_applies_to_the_next_request() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    server.send(get(BASE)).await?;
    let update = server.offer("dev-1", "1.1.0").await?;
    let path = format!("deploymentBase/{update}");
    for (set, expected) in [
        (None, "download-http"),
        (Some(DdiLinks::Https), "download"),
        (None, "download-http"),
    ] {
        server.set_ddi_links(set).await?;
        let found = links(&server, &path, "/deployment/chunks/0/artifacts").await?;
        assert_eq!((found.len(), &*found[0].0), (2, expected));
    }
    Ok(())
}
