use std::sync::Arc;

use tidegate_core::{
    Named as _,
    id::UpdateId,
    plugin::FieldError,
    update::{RetryPolicy, UpdateOptions, UpdateStatus},
};

use super::{create::create_checked, log::note, policies::Policies, request::invalid};
use crate::{
    Authorized, Engine, Error, Operator, Result,
    campaigns::{check_note, check_retries},
    ports::{Offer, OfferAction, OfferedBy, UpdateRow},
};

/// The options that a retry may change. `None` keeps those of the update.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetryOptions {
    /// Automatic retries.
    pub retries: Option<RetryPolicy>,
    /// A note of operators.
    pub note: Option<String>,
}

impl RetryOptions {
    fn apply(self, options: UpdateOptions) -> UpdateOptions {
        UpdateOptions {
            retries: self.retries.unwrap_or(options.retries),
            note: self.note.unwrap_or(options.note),
            ..options
        }
    }

    /// The invalid fields.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut rule = |good: bool, path: &str, message: &str| {
            if !good {
                errors.push(FieldError {
                    path: path.to_owned(),
                    message: message.to_owned(),
                });
            }
        };
        if let Some(retries) = self.retries {
            check_retries(retries, &mut rule);
        }
        if let Some(note) = &self.note {
            check_note(note, &mut rule);
        }
        errors
    }
}

/// Retries an update that ended without success: offers its firmware again with the same options, as an update of its
/// own. Its campaign keeps counting the failure. Policies
/// are not checked again.
pub async fn retry(
    ctx: &Authorized<Operator>,
    engine: &Arc<Engine>,
    id: UpdateId,
    changes: RetryOptions,
) -> Result<UpdateRow> {
    let row = super::get(ctx, engine.store(), id).await?;
    let update = &row.update;
    let errors = changes.validate();
    if !errors.is_empty() {
        return Err(invalid(errors));
    }
    let options = changes.apply(update.state.options.clone());
    let status = update.state.status;
    if status.is_open() || status == UpdateStatus::Completed {
        let message = format!("the update is {} and cannot be retried", status.as_str());
        return Err(Error::conflict("nothing_to_retry", message));
    }
    let policies = Policies::by_name(engine, ctx.tenant, &[]).await?;
    let found = engine.store().firmware(ctx.tenant, update.firmware).await?;
    let firmware = found.ok_or_else(|| Error::not_found("firmware", update.firmware))?;
    let timeout = options.timeouts.update;
    let device_ids = vec![row.device_id.clone()];
    let checked = policies
        .check(engine, ctx.tenant, &firmware, timeout, device_ids)
        .await?;
    let offer = Offer {
        firmware: update.firmware,
        to_version: update.to_version.clone(),
        weight: update.weight,
        success_criteria: update.state.success_criteria,
        options,
        now: ctx.now,
    };
    let by = OfferedBy {
        ctx: (**ctx).clone(),
        action: OfferAction::Retry,
    };
    let new_update = create_checked(&by, engine, &row.device_id, &checked, &offer, false)
        .await?
        .map_err(|refusal| refusal.into_error_without_force(&row.device_id))?;
    let action = format!("retry of update {id}");
    note(ctx, engine, &new_update.update, &action, "").await;
    Ok(new_update)
}
