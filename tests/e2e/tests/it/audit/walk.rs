//! Compares the rows of the audit trail with the changes that leave them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, Connection as _, Row as _};
use tidegate_e2e::{HttpResponse, RestClient, RestResponse as _, TestTenant};

/// Ends of the paths of POST operations that change nothing.
const READ_ONLY_POSTS: [&str; 2] = ["/validate", "/replay"];

/// Makes changes and compares the rows that they leave.
pub(super) struct AuditWalk<'a> {
    pub(super) tenant: &'a TestTenant,
    /// Operations as `method path`, in lower case.
    covered: BTreeSet<String>,
    secrets: Vec<String>,
}

/// An operation of the REST API, and a request for it.
pub(super) struct Operation {
    /// Method and path, as `covered` has them.
    name: String,
    request: Box<dyn Fn(&RestClient) -> RequestBuilder>,
}

impl Operation {
    pub(super) fn new(
        name: &str,
        request: impl Fn(&RestClient) -> RequestBuilder + 'static,
    ) -> Self {
        Self {
            name: name.to_owned(),
            request: Box::new(request),
        }
    }

    /// With these values of the parameters in its path.
    pub(super) fn post(path: &str, parameters: &[&str], body: Value) -> Self {
        Self::json(Method::POST, path, parameters, Some(body))
    }

    pub(super) fn put(path: &str, parameters: &[&str], body: Value) -> Self {
        Self::json(Method::PUT, path, parameters, Some(body))
    }

    pub(super) fn patch(path: &str, parameters: &[&str], body: Value) -> Self {
        Self::json(Method::PATCH, path, parameters, Some(body))
    }

    pub(super) fn delete(path: &str, parameters: &[&str]) -> Self {
        Self::json(Method::DELETE, path, parameters, None)
    }

    fn json(method: Method, path: &str, parameters: &[&str], body: Option<Value>) -> Self {
        let name = format!("{} /{path}", method.as_str().to_lowercase());
        let mut parameters = parameters.iter();
        let segments = path.split('/').map(|segment| {
            let value = segment.starts_with('{').then(|| parameters.next());
            value.flatten().copied().unwrap_or(segment)
        });
        let path = segments.collect::<Vec<_>>().join("/");
        Self::new(&name, move |rest| {
            let request = rest.request(method.clone(), &path);
            match &body {
                Some(body) => request.json(body),
                None => request,
            }
        })
    }
}

/// The row that an operation leaves.
pub(super) struct Change {
    action: String,
    has_before: bool,
    has_after: bool,
    /// Whether the body is too large to be read by a server that refuses it.
    is_large: bool,
}

impl Change {
    pub(super) fn of(action: &str) -> Self {
        Self {
            action: action.to_owned(),
            has_before: true,
            has_after: true,
            is_large: false,
        }
    }

    /// Nothing before.
    pub(super) fn created(mut self) -> Self {
        self.has_before = false;
        self
    }

    pub(super) fn large(mut self) -> Self {
        self.is_large = true;
        self
    }

    /// Nothing after.
    pub(super) fn deleted(mut self) -> Self {
        self.has_after = false;
        self
    }
}

#[derive(Debug)]
pub(super) struct AuditRow {
    pub(super) actor: (String, String, String),
    pub(super) request_id: String,
    pub(super) action: String,
    pub(super) resource_kind: String,
    pub(super) resource_id: Option<String>,
    pub(super) before: Value,
    pub(super) after: Value,
}

impl<'a> AuditWalk<'a> {
    pub(super) fn new(tenant: &'a TestTenant) -> Self {
        sqlx::any::install_default_drivers();
        Self {
            tenant,
            covered: BTreeSet::new(),
            secrets: vec![tenant.gateway.clone()],
        }
    }

    /// A viewer is refused and leaves no row; the client succeeds and leaves this one.
    pub(super) async fn succeeds(
        &mut self,
        rest: &RestClient,
        change: Change,
        operation: &Operation,
    ) -> Result<Value> {
        let before = self.rows().await?.len();
        if !change.is_large {
            let refused = HttpResponse::fetch((operation.request)(&self.tenant.viewer)).await?;
            refused.expect_problem(403, "role_missing")?;
            let rows = self.rows().await?.len();
            ensure!(rows == before, "{}: a refusal left a row", operation.name);
        }

        let request_id = format!("audit-walk-{before}");
        let sent = (operation.request)(rest).header("x-request-id", &request_id);
        let response = HttpResponse::fetch(sent).await?;
        ensure!(response.status.is_success(), "{response}");
        let mut rows = self.rows().await?.split_off(before);
        ensure!(rows.len() == 1, "{}: {rows:?}", operation.name);
        let row = rows.remove(0);
        let (kind, name, role) = &row.actor;
        ensure!(kind == "key" && name == role && !name.is_empty(), "{row:?}");
        ensure!(row.request_id == request_id, "{row:?}");
        ensure!(row.action == change.action, "{row:?}");
        let kind = change.action.split('.').next();
        ensure!(kind == Some(row.resource_kind.as_str()), "{row:?}");
        ensure!(row.before.is_object() == change.has_before, "{row:?}");
        ensure!(row.after.is_object() == change.has_after, "{row:?}");
        self.covered.insert(operation.name.clone());
        if response.body.is_empty() {
            return Ok(Value::Null);
        }
        Ok(response.json()?)
    }

    /// The client's request is refused or changes nothing, and leaves no row.
    pub(super) async fn changes_nothing(
        &self,
        rest: &RestClient,
        operation: &Operation,
    ) -> Result<()> {
        let before = self.rows().await?.len();
        let response = HttpResponse::fetch((operation.request)(rest)).await?;
        ensure!(!response.status.is_server_error(), "{response}");
        let rows = self.rows().await?.split_off(before);
        ensure!(rows.is_empty(), "{response}: {rows:?}");
        Ok(())
    }

    pub(super) fn add_secret(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    /// Every operation of the OpenAPI document that changes something was called.
    pub(super) async fn ensure_complete(&self) -> Result<()> {
        let document = self
            .tenant
            .viewer
            .get("openapi.json")
            .await?
            .expect_success()?;
        let mut operations = BTreeSet::new();
        for (path, item) in document["paths"].as_object().context("no paths")? {
            let short = path.strip_prefix("/api/v1").unwrap_or(path);
            for method in ["put", "post", "patch", "delete"] {
                let reads = READ_ONLY_POSTS.iter().any(|end| path.ends_with(end));
                if item.get(method).is_some() && !reads {
                    operations.insert(format!("{method} {short}"));
                }
            }
        }
        let missing: Vec<_> = operations.difference(&self.covered).collect();
        ensure!(missing.is_empty(), "not called: {missing:?}");
        let unknown: Vec<_> = self.covered.difference(&operations).collect();
        ensure!(unknown.is_empty(), "not in the document: {unknown:?}");
        Ok(())
    }

    /// No row has a token or its hash.
    pub(super) async fn ensure_no_secrets(&self) -> Result<()> {
        let rows = format!("{:?}", self.rows().await?);
        for secret in &self.secrets {
            let hash = hex::encode(Sha256::digest(secret));
            ensure!(secret.len() >= 32, "{secret} is short");
            ensure!(
                !rows.contains(secret.as_str()) && !rows.contains(&hash),
                "{rows}"
            );
        }
        Ok(())
    }

    pub(super) async fn last_row(&self) -> Result<AuditRow> {
        self.rows().await?.pop().context("no row")
    }

    pub(super) async fn rows(&self) -> Result<Vec<AuditRow>> {
        rows(&self.tenant.server.database_url(), self.tenant.record.id.0).await
    }
}

/// The rows of a tenant, in order.
pub(super) async fn rows(database_url: &str, tenant_id: i64) -> Result<Vec<AuditRow>> {
    let mut connection = AnyConnection::connect(database_url).await?;
    let rows = sqlx::query(
        "SELECT actor_kind, actor, role, request_id, action, resource_kind, resource_id, \
         before_json, after_json FROM audit WHERE tenant_id = $1 ORDER BY id",
    )
    .bind(tenant_id)
    .fetch_all(&mut connection)
    .await?;
    connection.close().await?;
    let json = |text: Option<String>| -> Result<Value> {
        Ok(text
            .map(|text| serde_json::from_str(&text))
            .transpose()?
            .unwrap_or_default())
    };
    rows.iter()
        .map(|row| {
            Ok(AuditRow {
                actor: (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?),
                request_id: row.try_get(3)?,
                action: row.try_get(4)?,
                resource_kind: row.try_get(5)?,
                resource_id: row.try_get(6)?,
                before: json(row.try_get(7)?)?,
                after: json(row.try_get(8)?)?,
            })
        })
        .collect()
}
