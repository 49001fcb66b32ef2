//! Brings every device into the initial state of its case, for all cases in parallel.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow};
use futures::{StreamExt as _, stream};
use tidegate_ddi_client::{Credentials, Execution, Feedback, Finished};

use crate::{
    adapter::{Adapter, AssignmentOptions, MaintenanceWindow, Update},
    bundle::{Bundle, SINGLE_FILE},
    case::{Case, DeviceState, OperatorAction, Step},
    device::Device,
    placeholders::Placeholders,
    wait_until,
};

/// What all cases of a run share.
pub(crate) struct Suite<'a> {
    adapter: &'a dyn Adapter,
    http: reqwest::Client,
    run: &'a str,
    concurrency: usize,
    /// The adapter's ids of the firmware that cases use.
    bundles: BTreeMap<&'static Bundle, String>,
}

/// A device in the initial state of its case.
#[derive(Debug, Clone)]
pub(crate) struct PreparedCase {
    pub(crate) device: Device,
    pub(crate) update: Option<Update>,
    pub(crate) placeholders: Placeholders,
}

/// The cases whose update is assigned in one call: the same firmware and options, all cancelled or none.
type AssignmentGroup = (&'static Bundle, AssignmentOptions, bool, Option<usize>);

/// The device of one case during the setup.
struct CaseDevice {
    device: Device,
    token: Option<String>,
    update: Option<Update>,
    module: Option<String>,
}

impl<'a> Suite<'a> {
    /// Creates the firmware that the cases need.
    pub(crate) async fn new(
        adapter: &'a dyn Adapter,
        run: &'a str,
        concurrency: usize,
        cases: &[&Case],
    ) -> Result<Self> {
        adapter.prepare().await.context("prepare the tenant")?;
        let mut needed: BTreeSet<&'static Bundle> = BTreeSet::from([&SINGLE_FILE]);
        for case in cases {
            needed.extend(
                case.setup
                    .device_state
                    .has_update()
                    .then_some(case.setup.bundle),
            );
            needed.extend(case.steps.iter().filter_map(|step| match step {
                Step::Operator(OperatorAction::Assign(bundle, _)) => Some(*bundle),
                _ => None,
            }));
        }
        let mut bundles = BTreeMap::new();
        for bundle in needed {
            let firmware = adapter.create_firmware(bundle, run).await;
            let firmware =
                firmware.with_context(|| format!("create the firmware `{}`", bundle.name))?;
            bundles.insert(bundle, firmware);
        }
        let http = reqwest::Client::builder().http1_only().build()?;
        Ok(Self {
            adapter,
            http,
            run,
            concurrency,
            bundles,
        })
    }

    /// Assigns a firmware during a case.
    pub(crate) async fn assign(
        &self,
        device: &Device,
        bundle: &'static Bundle,
        options: AssignmentOptions,
    ) -> Result<Update> {
        let firmware = &self.bundles[bundle];
        let updates = self
            .adapter
            .assign(std::slice::from_ref(&device.id), firmware, options)
            .await?;
        updates
            .into_iter()
            .next()
            .context("the adapter returned no update")
    }

    /// Prepares a device for each case, in the order of the cases. If that fails, the case has failed.
    pub(crate) async fn prepare(&self, cases: &[&Case]) -> Result<Vec<Result<PreparedCase>>> {
        // An additional device, whose update belongs to another device in every case.
        let other_device = Case::new("", "another device", DeviceState::Proceeding);
        let cases: Vec<&Case> = cases.iter().copied().chain([&other_device]).collect();
        let mut case_devices = self
            .for_each_case(&cases, |n, case| self.register(n, case))
            .await;
        self.assign_all(&cases, &mut case_devices).await;
        self.advance(&cases, &mut case_devices, |case, case_device| {
            self.bring_to_state(case, case_device)
        })
        .await;
        self.cancel_updates(&cases, &mut case_devices).await;
        self.advance(&cases, &mut case_devices, |case, case_device| {
            self.finish_cancellation(case, case_device)
        })
        .await;
        let other_device = case_devices
            .pop()
            .context("the other device is missing")?
            .context("prepare the other device")?;
        let named =
            |case_device: Result<CaseDevice>| Ok(self.prepared_case(case_device?, &other_device));
        Ok(case_devices.into_iter().map(named).collect())
    }

    async fn for_each_case<'b, T, F: Future<Output = T>>(
        &self,
        cases: &'b [&'b Case],
        action: impl Fn(usize, &'b Case) -> F,
    ) -> Vec<T> {
        let acts = cases.iter().enumerate().map(|(n, case)| action(n, case));
        stream::iter(acts)
            .buffered(self.concurrency)
            .collect()
            .await
    }

    /// Runs the next setup step of all devices whose setup has not failed.
    async fn advance<'b, F: Future<Output = Result<CaseDevice>>>(
        &self,
        cases: &'b [&'b Case],
        case_devices: &mut Vec<Result<CaseDevice>>,
        action: impl Fn(&'b Case, CaseDevice) -> F,
    ) {
        let acts = cases
            .iter()
            .zip(std::mem::take(case_devices))
            .map(|(case, case_device)| {
                let action = case_device.map(|case_device| action(case, case_device));
                async move { action?.await }
            });
        *case_devices = stream::iter(acts)
            .buffered(self.concurrency)
            .collect()
            .await;
    }

    async fn register(&self, n: usize, case: &Case) -> Result<CaseDevice> {
        let (target, id) = (self.adapter.target(), format!("ddi-{}-{n}", self.run));
        let (credentials, token) = if case.setup.has_token {
            let token = self
                .adapter
                .create_device(&id)
                .await
                .context("create the device")?;
            (Credentials::Target(token.clone()), Some(token))
        } else {
            (Credentials::Gateway(target.gateway.clone()), None)
        };
        let device = Device::new(self.http.clone(), target, &id, credentials);
        match case.setup.device_state {
            DeviceState::Unknown => {}
            DeviceState::Registered => device.client.poll().await.map(drop)?,
            _ => device.identify().await?,
        }
        Ok(CaseDevice {
            device,
            token,
            update: None,
            module: None,
        })
    }

    fn groups(
        cases: &[&Case],
        case_devices: &[Result<CaseDevice>],
    ) -> BTreeMap<AssignmentGroup, Vec<usize>> {
        let mut groups: BTreeMap<AssignmentGroup, Vec<usize>> = BTreeMap::new();
        for (n, case) in cases.iter().enumerate() {
            let setup = case.setup;
            if setup.device_state.has_update() && case_devices[n].is_ok() {
                let isolated = case.is_isolated().then_some(n);
                let group = (
                    setup.bundle,
                    setup.options,
                    setup.device_state.was_cancelled(),
                    isolated,
                );
                groups.entry(group).or_default().push(n);
            }
        }
        groups
    }

    async fn assign_all(&self, cases: &[&Case], case_devices: &mut [Result<CaseDevice>]) {
        let groups = Self::groups(cases, case_devices);
        let assigned = groups.into_iter().map(|((bundle, options, ..), members)| {
            let id = |n: &usize| {
                case_devices[*n]
                    .as_ref()
                    .map(|case_device| case_device.device.id.clone())
            };
            let ids: Result<Vec<_>, _> = members.iter().map(id).collect();
            let firmware = &self.bundles[bundle];
            async move {
                let ids = ids.unwrap_or_default();
                (members, self.adapter.assign(&ids, firmware, options).await)
            }
        });
        let assigned: Vec<_> = stream::iter(assigned).buffered(4).collect().await;
        for (members, updates) in assigned {
            match updates {
                Ok(updates) => {
                    for (n, update) in members.into_iter().zip(updates) {
                        if let Ok(case_device) = &mut case_devices[n] {
                            case_device.update = Some(update);
                        }
                    }
                }
                Err(error) => {
                    for n in members {
                        case_devices[n] = Err(anyhow!("assign the firmware: {error:#}"));
                    }
                }
            }
        }
    }

    /// Everything that a device does before updates are cancelled.
    async fn bring_to_state(&self, case: &Case, mut case_device: CaseDevice) -> Result<CaseDevice> {
        let Some(update) = &case_device.update else {
            return Ok(case_device);
        };
        let options = case.setup.options;
        if options.window != MaintenanceWindow::Closed || options.prefetch {
            let has_offer = async || Ok(case_device.device.has_offer().await?.then_some(()));
            wait_until("the device is offered its update", has_offer).await?;
        }
        if case.setup.device_state == DeviceState::Offered {
            return Ok(case_device);
        }
        let module = case_device.device.fetch_deployment(&update.id).await?;
        let (execution, finished) = match case.setup.device_state {
            DeviceState::Succeeded => (Execution::Closed, Finished::Success),
            DeviceState::Failed => (Execution::Closed, Finished::Failure),
            _ => (Execution::Proceeding, Finished::None),
        };
        case_device
            .device
            .client
            .feedback(&update.id, &Feedback::new(execution, finished))
            .await?;
        case_device.module = module;
        Ok(case_device)
    }

    async fn cancel_updates(&self, cases: &[&Case], case_devices: &mut [Result<CaseDevice>]) {
        for ((_, _, was_cancelled, _), members) in Self::groups(cases, case_devices) {
            if !was_cancelled {
                continue;
            }
            let update = |n: &usize| case_devices[*n].as_ref().ok()?.update.clone();
            let updates: Vec<_> = members.iter().filter_map(update).collect();
            if let Err(error) = self.adapter.cancel(&updates).await {
                for n in members {
                    case_devices[n] = Err(anyhow!("cancel the update: {error:#}"));
                }
            }
        }
    }

    async fn finish_cancellation(
        &self,
        case: &Case,
        case_device: CaseDevice,
    ) -> Result<CaseDevice> {
        let (true, Some(update)) = (case.setup.device_state.was_cancelled(), &case_device.update)
        else {
            return Ok(case_device);
        };
        let has_cancellation =
            async || Ok(case_device.device.has_cancellation().await?.then_some(()));
        wait_until("the update is being cancelled", has_cancellation).await?;
        if case.setup.device_state == DeviceState::Cancelled {
            let accepted = Feedback::new(Execution::Closed, Finished::Success);
            let client = &case_device.device.client;
            client.cancel_feedback(&update.id, &accepted).await?;
        }
        Ok(case_device)
    }

    fn prepared_case(&self, case_device: CaseDevice, other_device: &CaseDevice) -> PreparedCase {
        let target = self.adapter.target();
        let mut placeholders = Placeholders::default();
        placeholders.set("server", &target.url);
        placeholders.set("tenant", &target.tenant);
        placeholders.set("lower", target.tenant.to_lowercase());
        placeholders.set("gateway", &target.gateway);
        placeholders.set("run", self.run);
        placeholders.set("device", &case_device.device.id);
        placeholders.set("base", case_device.device.client.base());
        placeholders.set("token", case_device.token.unwrap_or_default());
        let id =
            |update: &Option<Update>| update.as_ref().map_or("0".to_owned(), |it| it.id.clone());
        placeholders.set("id", id(&case_device.update));
        placeholders.set("other", id(&other_device.update));
        let module = case_device.module.as_ref().or(other_device.module.as_ref());
        placeholders.set("module", module.map_or("0", |module| module));
        let module = &SINGLE_FILE.modules[0];
        placeholders.set("module-name", format!("{}-{}", module.name, self.run));
        if let [file] = module.files {
            placeholders.set("file", file.name);
            placeholders.set("md5", file.md5());
            placeholders.set("sha1", file.sha1());
            placeholders.set("sha256", file.sha256());
        }
        PreparedCase {
            device: case_device.device,
            update: case_device.update,
            placeholders,
        }
    }
}
