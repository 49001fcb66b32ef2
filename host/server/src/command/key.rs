use anyhow::{Context as _, Result, anyhow};
use clap::Subcommand;
use jiff::SignedDuration;
use serde_json::json;
use tidegate_core::{Named as _, time::Timestamp};
use tidegate_engine::{
    Role,
    ports::ApiKeyRecord,
    tenants::{self, NewApiKey},
};

use super::{
    config_args::{ConfigArgs, ctx_of_tenant},
    enum_value, print,
};

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Create an API key; it is shown once
    Create {
        #[command(flatten)]
        config_args: ConfigArgs,
        /// Tenant
        #[arg(long, default_value = tenants::DEFAULT_TENANT)]
        tenant: String,
        /// User who acts with the key
        #[arg(long)]
        user: String,
        /// Role
        #[arg(long, value_parser = enum_value::<Role>())]
        role: Role,
        /// Expiry: a duration such as `90d`, or a time such as `2030-01-01T00:00:00Z`
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// List API keys by the first digits of their sha256, and when they were last used; the keys themselves are not
    /// stored
    List {
        #[command(flatten)]
        config_args: ConfigArgs,
        /// Tenant
        #[arg(long, default_value = tenants::DEFAULT_TENANT)]
        tenant: String,
    },
    /// Show an API key and when it was last used
    #[command(visible_alias = "get")]
    Show {
        #[command(flatten)]
        config_args: ConfigArgs,
        /// Tenant
        #[arg(long, default_value = tenants::DEFAULT_TENANT)]
        tenant: String,
        /// Id of the key, as `key list` shows it
        id: String,
    },
    /// Revoke an API key immediately
    Revoke {
        #[command(flatten)]
        config_args: ConfigArgs,
        /// Tenant
        #[arg(long, default_value = tenants::DEFAULT_TENANT)]
        tenant: String,
        /// Id of the key, as `key list` shows it
        id: String,
    },
}

impl Key {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Create {
                config_args,
                tenant,
                user,
                role,
                expires,
            } => {
                let (_, context) = config_args.open().await?;
                let now = context.engine.now();
                let expires_at = expires.map(|when| expiry(&when, now)).transpose()?;
                let ctx = ctx_of_tenant(&context.engine, &tenant).await?;
                let key = NewApiKey {
                    user,
                    role,
                    expires_at,
                };
                let key =
                    tenants::issue_key(&ctx, context.engine.store(), context.engine.entropy(), key)
                        .await?;
                context.store.close().await;
                print(&key);
            }
            Self::List {
                config_args,
                tenant,
            } => {
                let (_, context) = config_args.open().await?;
                let ctx = ctx_of_tenant(&context.engine, &tenant).await?;
                let keys = tenants::keys(&ctx, context.engine.store()).await?;
                context.store.close().await;
                print(listing(&keys));
            }
            Self::Show {
                config_args,
                tenant,
                id,
            } => {
                let (_, context) = config_args.open().await?;
                let ctx = ctx_of_tenant(&context.engine, &tenant).await?;
                let key = tenants::key(&ctx, context.engine.store(), &id).await?;
                context.store.close().await;
                print(listing(&[key]));
            }
            Self::Revoke {
                config_args,
                tenant,
                id,
            } => {
                let (_, context) = config_args.open().await?;
                let ctx = ctx_of_tenant(&context.engine, &tenant).await?;
                tenants::revoke_key(&ctx, context.engine.store(), &id).await?;
                context.store.close().await;
                print(format_args!("key {id} is revoked"));
            }
        }
        Ok(())
    }
}

fn listing(keys: &[ApiKeyRecord]) -> String {
    let moment = |at: Timestamp| jiff::Timestamp::from_millisecond(at.0).ok();
    let item = |key: &ApiKeyRecord| {
        json!({
            "id": tenants::key_id(&key.sha256),
            "user": key.user,
            "role": key.role.as_str(),
            "created_at": moment(key.created_at),
            "expires_at": key.expires_at.and_then(moment),
            "last_used": key.last_used.and_then(moment),
        })
    };
    let items = keys.iter().map(item).collect::<Vec<_>>();
    super::listing(
        &json!({ "items": items }),
        &[
            ("ID", "/id"),
            ("USER", "/user"),
            ("ROLE", "/role"),
            ("CREATED AT", "/created_at"),
            ("EXPIRES AT", "/expires_at"),
            ("LAST USED", "/last_used"),
        ],
    )
}

/// Parses a timestamp, or a duration from now.
fn expiry(when: &str, now: Timestamp) -> Result<Timestamp> {
    let at = if let Ok(moment) = when.parse::<jiff::Timestamp>() {
        Timestamp(moment.as_millisecond())
    } else {
        // The length of a span with days is ambiguous; here a day has 24 hours.
        let span: jiff::Span = when
            .parse()
            .with_context(|| format!("`{when}` is not a time or duration"))?;
        let length: SignedDuration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours())?;
        now.plus(
            length
                .try_into()
                .map_err(|_| anyhow!("`{when}` is in the past"))?,
        )
    };
    if at <= now {
        return Err(anyhow!("`{when}` is in the past"));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_a_timestamp_or_a_duration() {
        let now = Timestamp(1_000);
        assert_eq!(
            expiry("90d", now).ok(),
            Some(Timestamp(90 * 86_400_000 + 1_000))
        );
        assert_eq!(
            expiry("1970-01-01T00:00:02Z", now).ok(),
            Some(Timestamp(2_000))
        );
        for bad in ["", "soon", "-1h", "0s", "1970-01-01T00:00:01Z"] {
            assert!(expiry(bad, now).is_err(), "{bad}");
        }
    }
}
