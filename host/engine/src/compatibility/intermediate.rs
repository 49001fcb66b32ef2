//! Decisions on classes, some of which need an intermediate version first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tidegate_core::{
    firmware::Firmware,
    id::FirmwareId,
    plugin::DeviceClass,
    update::{IntermediateFirmware, MAX_INTERMEDIATE_VERSIONS, UpdateOptions},
    version::is_same,
};

use super::{
    CompatibilityCheck,
    check::{CallRecorder, CheckFailure, Objection, OnFailure},
};
use crate::ports::Store;

/// What is decided on a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Every policy accepts it.
    Compatible,
    /// Policies need this firmware first, and every policy accepts that now.
    After(IntermediateFirmware),
    /// It gets nothing, for this reason.
    Incompatible(String),
}

/// Whether, and which, firmware may be installed before the one that is asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IntermediateRules {
    /// Whether the update installs its firmware, not only downloads it.
    pub(crate) installs: bool,
    /// Whether it may be a beta.
    pub(crate) allows_beta: bool,
}

impl IntermediateRules {
    /// Those of an update with these options; `allow_beta`: of its request.
    pub(crate) fn of_update(
        options: &UpdateOptions,
        firmware: &Firmware,
        allow_beta: bool,
    ) -> Self {
        Self {
            installs: options.update_type.installs(),
            allows_beta: allow_beta || firmware.details.is_beta,
        }
    }
}

/// A class for which an intermediate version is looked for.
struct OpenClass {
    index: usize,
    /// The first objection, which explains the step.
    reason: String,
    /// The versions that were needed so far: each before the one that precedes it here.
    versions: Vec<String>,
}

impl CompatibilityCheck<'_> {
    /// Decides on each class. Where policies need another version first, it is the firmware of the same name and of that
    /// version, for the class's model; the policies are asked about it too, which may need yet another version before it.
    pub(crate) async fn decide(
        &self,
        store: &dyn Store,
        rules: IntermediateRules,
        classes: &[DeviceClass],
        on_failure: OnFailure,
        record: &mut CallRecorder<'_>,
    ) -> Result<Vec<Decision>, CheckFailure> {
        let objections = self.objections(classes, on_failure, record).await?;
        let (mut decisions, mut open) = (Vec::with_capacity(classes.len()), Vec::new());
        for (index, objection) in objections.into_iter().enumerate() {
            decisions.push(match objection {
                None => Decision::Compatible,
                Some(Objection { reason, needs }) => {
                    open.extend(needs.map(|version| OpenClass {
                        index,
                        reason: reason.clone(),
                        versions: vec![version],
                    }));
                    Decision::Incompatible(reason)
                }
            });
        }
        let mut search = Search {
            check: self,
            store,
            rules,
            classes,
            decisions,
            firmware: HashMap::new(),
        };
        while !open.is_empty() {
            open = search.step(open, on_failure, record).await?;
        }
        Ok(search.decisions)
    }
}

/// The search for intermediate firmware of classes.
struct Search<'a> {
    check: &'a CompatibilityCheck<'a>,
    store: &'a dyn Store,
    rules: IntermediateRules,
    classes: &'a [DeviceClass],
    decisions: Vec<Decision>,
    /// By version and model.
    firmware: HashMap<(String, Option<String>), Option<Arc<Firmware>>>,
}

impl Search<'_> {
    /// Looks for the last version of each class, and asks the policies about its firmware. Returns the classes that need
    /// another version before it.
    async fn step(
        &mut self,
        open: Vec<OpenClass>,
        on_failure: OnFailure,
        record: &mut CallRecorder<'_>,
    ) -> Result<Vec<OpenClass>, CheckFailure> {
        let mut by_firmware: BTreeMap<FirmwareId, (Arc<Firmware>, Vec<OpenClass>)> =
            BTreeMap::new();
        for class in open {
            match self.find(&class).await? {
                Ok(firmware) => {
                    let found = by_firmware.entry(firmware.id);
                    let (_, classes) = found.or_insert_with(|| (firmware, Vec::new()));
                    classes.push(class);
                }
                Err(why) => self.exclude(&class, &why),
            }
        }
        let mut next = Vec::new();
        for (firmware, open) in by_firmware.into_values() {
            let classes: Vec<_> = open
                .iter()
                .map(|class| self.classes[class.index].clone())
                .collect();
            let check = CompatibilityCheck {
                firmware: &firmware,
                context: self.check.context.clone(),
                ..*self.check
            };
            let objections = check.objections(&classes, on_failure, record).await?;
            for (class, objection) in open.into_iter().zip(objections) {
                next.extend(self.apply(class, &firmware, objection));
            }
        }
        Ok(next)
    }

    /// The firmware of the last version that the class needs, or why there is none.
    async fn find(
        &mut self,
        class: &OpenClass,
    ) -> Result<Result<Arc<Firmware>, String>, CheckFailure> {
        if !self.rules.installs {
            return Ok(Err(
                "an update that is only downloaded cannot install it".to_owned()
            ));
        }
        let version = class.versions.last().cloned().unwrap_or_default();
        let model = self.classes[class.index].key.hardware_model.clone();
        let name = &self.check.firmware.details.name;
        let for_model = match &model {
            Some(model) => format!("for model {model}"),
            None => "for any model, as the device reports none".to_owned(),
        };
        let place = (version, model);
        if !self.firmware.contains_key(&place) {
            let found = self.load(&place.0, place.1.as_deref()).await;
            let found = found.map_err(CheckFailure::Other)?;
            self.firmware.insert(place.clone(), found.map(Arc::new));
        }
        let version = &place.0;
        Ok(match self.firmware.get(&place).cloned().flatten() {
            None => Err(format!(
                "there is no firmware {name} {version} {for_model}: upload it, then start or retry again"
            )),
            Some(firmware) if firmware.details.is_beta && !self.rules.allows_beta => Err(format!(
                "firmware {name} {version} is a beta: allow betas, then start again"
            )),
            Some(firmware) => Ok(firmware),
        })
    }

    async fn load(&self, version: &str, model: Option<&str>) -> crate::Result<Option<Firmware>> {
        let (store, tenant) = (self.store, self.check.tenant);
        let name = &self.check.firmware.details.name;
        let found = store.firmware_of_version(tenant, name, version, model);
        match found.await? {
            Some(id) => Ok(store.firmware(tenant, id).await?),
            None => Ok(None),
        }
    }

    /// Decides on a class by what the policies say of this intermediate firmware. Returns the class if it needs another
    /// version before it.
    fn apply(
        &mut self,
        mut class: OpenClass,
        firmware: &Firmware,
        objection: Option<Objection>,
    ) -> Option<OpenClass> {
        let version = &firmware.details.version;
        let Some(Objection { reason, needs }) = objection else {
            self.accept(class, firmware);
            return None;
        };
        match needs {
            None => {
                let why = format!("{version} cannot be installed first: {reason}");
                self.exclude(&class, &why);
                None
            }
            Some(needed) => {
                let versions = class.versions.join(", which needs ");
                let needs = format!("it needs {versions}, which needs {needed}");
                if class.versions.iter().any(|known| is_same(known, &needed)) {
                    let why = format!("{needs}: policies need a version before itself");
                    self.exclude(&class, &why);
                    return None;
                }
                if class.versions.len() >= MAX_INTERMEDIATE_VERSIONS {
                    let most = MAX_INTERMEDIATE_VERSIONS;
                    let why = format!("{needs}: at most {most} intermediate versions are possible");
                    self.exclude(&class, &why);
                    return None;
                }
                class.versions.push(needed);
                Some(class)
            }
        }
    }

    fn accept(&mut self, class: OpenClass, firmware: &Firmware) {
        self.decisions[class.index] = Decision::After(IntermediateFirmware {
            firmware: firmware.id,
            version: firmware.details.version.clone(),
            reason: class.reason,
        });
    }

    fn exclude(&mut self, class: &OpenClass, why: &str) {
        let reason = class.reason.trim_end_matches('.');
        self.decisions[class.index] = Decision::Incompatible(format!("{reason}; {why}"));
    }
}
