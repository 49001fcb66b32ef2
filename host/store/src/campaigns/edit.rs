use std::iter;

use serde_json::Value;
use tidegate_core::{
    campaign::{Campaign, CampaignSpec},
    id::Digest,
};
use tidegate_engine::{Ctx, ports::StoreError};

use super::{
    create::{
        OPTIONS_PARAMETER, SPEC_COLUMNS, audit_fields, bind_spec, lock_firmware,
        replace_pinned_revisions, revisions,
    },
    run_row::CampaignRunRow,
};
use crate::{
    audit::{self, AuditEntry, MAX_NAMED},
    database::Database,
    dialect::{Dialect, storable},
    error::{failed, internal},
    rows::to_json,
    tenant_counters::TenantCounters,
    update_options::UPDATE_OPTION_COLUMNS,
};

const EDIT: &str = "edit a campaign";

/// Replaces the specification of a campaign that has not started and voids its approval, if it is still at this
/// generation; otherwise returns false.
pub(crate) async fn edit(
    database: &Database,
    ctx: &Ctx,
    campaign: &Campaign,
    spec: CampaignSpec,
) -> Result<bool, StoreError> {
    let (tenant, id) = (ctx.tenant, campaign.id);
    let mut tx = database.write().await?;
    let Some(mut run_row) = CampaignRunRow::lock_as_read(&mut tx, tenant, campaign).await? else {
        return Ok(false);
    };
    if run_row.started_at.is_some() {
        return Ok(false);
    }
    lock_firmware(&mut tx, tenant, spec.firmware).await?;
    let mut before = edit_fields(&campaign.spec)?;
    let mut after = edit_fields(&spec)?;
    let approved_by = campaign.approval.as_ref().map(|approval| &*approval.by);
    before["approved_by"] = approved_by.into();
    after["approved_by"] = Value::Null;
    let editor = storable(&ctx.actor.name);
    let revisions = revisions(&spec);
    bind_spec(update_sql(tx.dialect()), tenant, spec)?
        .bind(id.0)
        .bind(editor.clone().into_owned())
        .bind(to_json(&campaign.editors_with(&editor))?)
        .execute(tx.conn())
        .await
        .map_err(failed(EDIT))?;
    replace_pinned_revisions(&mut tx, tenant, id, &revisions).await?;
    run_row.generation += 1;
    run_row.clear_approval();
    let mut tenant_counters = TenantCounters::default();
    run_row.write(&mut tx, &mut tenant_counters).await?;
    tenant_counters.write(&mut tx).await?;
    let entry = AuditEntry::of_difference("campaign.change", id, before, after);
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// For the audit trail. Every change is in these fields: the campaign does not keep what it replaces.
fn edit_fields(spec: &CampaignSpec) -> Result<Value, StoreError> {
    let mut fields = audit_fields(spec)?;
    fields["description"] = spec.description.as_str().into();
    let policies = spec.policies.iter().enumerate();
    let policies = policies.map(|(index, used)| (format!("policies/{index}"), used));
    let strategy = iter::once(("strategy".to_owned(), &spec.strategy));
    for (name, used) in strategy.chain(policies) {
        let config: Value =
            serde_json::from_str(&used.config).map_err(|error| internal(EDIT)(error.into()))?;
        fields["configs"][name] = config;
    }
    let devices = &spec.targets.devices;
    if devices.len() > MAX_NAMED {
        let digest = Digest::of(devices.join("\n").as_bytes());
        fields["targets"]["devices_digest"] = digest.to_string().into();
    }
    Ok(fields)
}

fn update_sql(dialect: Dialect) -> String {
    let columns = SPEC_COLUMNS.iter();
    let mut changes: Vec<_> = columns
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let options = UPDATE_OPTION_COLUMNS.iter();
    changes.extend(options.map(|(name, _)| format!("{name} = o.{name}")));
    let changes = changes.join(", ");
    let options = dialect.json_rows("o", OPTIONS_PARAMETER, UPDATE_OPTION_COLUMNS);
    format!(
        "UPDATE campaigns SET {changes}, edited_by = $17, editors = $18 FROM {options} \
         WHERE campaigns.tenant_id = $1 AND campaigns.id = $16"
    )
}
