//! Brings every device to where its case begins. What cases have in common is done for all of them at once.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow};
use futures::{StreamExt as _, stream};

use crate::{
    adapter::{Adapter, Terms, Update, Window},
    bundle::{Bundle, PLAIN},
    case::{Act, Case, Standing, Step},
    device::Device,
    names::Names,
    until,
};

/// What is there when the first case begins.
pub(crate) struct Stage<'a> {
    adapter: &'a dyn Adapter,
    http: reqwest::Client,
    run: &'a str,
    at_once: usize,
    /// How the adapter calls them.
    bundles: BTreeMap<&'static Bundle, String>,
}

/// A device that is where its case begins.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) device: Device,
    pub(crate) update: Option<Update>,
    pub(crate) names: Names,
}

/// What is assigned by one call: the same firmware on the same terms, called back together or not at all.
type Group = (&'static Bundle, Terms, bool, Option<usize>);

/// Where one of them is.
struct Actor {
    device: Device,
    token: Option<String>,
    update: Option<Update>,
    module: Option<String>,
}

impl<'a> Stage<'a> {
    /// Makes the firmware that the cases need.
    pub(crate) async fn new(
        adapter: &'a dyn Adapter,
        run: &'a str,
        at_once: usize,
        cases: &[&Case],
    ) -> Result<Self> {
        adapter.prepare().await.context("make the tenant ready")?;
        let mut needed: BTreeSet<&'static Bundle> = BTreeSet::from([&PLAIN]);
        for case in cases {
            needed.extend(
                case.given
                    .standing
                    .has_update()
                    .then_some(case.given.bundle),
            );
            needed.extend(case.steps.iter().filter_map(|step| match step {
                Step::Operator(Act::Assign(bundle, _)) => Some(*bundle),
                _ => None,
            }));
        }
        let mut bundles = BTreeMap::new();
        for bundle in needed {
            let firmware = adapter.firmware(bundle, run).await;
            let firmware =
                firmware.with_context(|| format!("make the firmware `{}`", bundle.name))?;
            bundles.insert(bundle, firmware);
        }
        let http = reqwest::Client::builder().http1_only().build()?;
        Ok(Self {
            adapter,
            http,
            run,
            at_once,
            bundles,
        })
    }

    /// Assigns a firmware in the middle of a case.
    pub(crate) async fn assign(
        &self,
        device: &Device,
        bundle: &'static Bundle,
        terms: Terms,
    ) -> Result<Update> {
        let firmware = &self.bundles[bundle];
        let updates = self
            .adapter
            .assign(std::slice::from_ref(&device.id), firmware, terms)
            .await?;
        updates.into_iter().next().context("it was not assigned")
    }

    /// Brings a device for each case, in their order. A device that cannot be brought there is the case's failure.
    pub(crate) async fn set(&self, cases: &[&Case]) -> Result<Vec<Result<Ready>>> {
        // One more, whose update is always another device's.
        let stranger = Case::new("", "somebody else", Standing::Busy);
        let cases: Vec<&Case> = cases.iter().copied().chain([&stranger]).collect();
        let mut actors = self.each(&cases, |n, case| self.enter(n, case)).await;
        self.assign_all(&cases, &mut actors).await;
        self.move_on(&cases, &mut actors, |case, actor| self.begin(case, actor))
            .await;
        self.call_back(&cases, &mut actors).await;
        self.move_on(&cases, &mut actors, |case, actor| self.settle(case, actor))
            .await;
        let stranger = actors
            .pop()
            .context("there is nobody else")?
            .context("somebody else")?;
        let named = |actor: Result<Actor>| Ok(self.ready(actor?, &stranger));
        Ok(actors.into_iter().map(named).collect())
    }

    async fn each<'b, T, F: Future<Output = T>>(
        &self,
        cases: &'b [&'b Case],
        act: impl Fn(usize, &'b Case) -> F,
    ) -> Vec<T> {
        let acts = cases.iter().enumerate().map(|(n, case)| act(n, case));
        stream::iter(acts).buffered(self.at_once).collect().await
    }

    /// Has each that came this far do something more.
    async fn move_on<'b, F: Future<Output = Result<Actor>>>(
        &self,
        cases: &'b [&'b Case],
        actors: &mut Vec<Result<Actor>>,
        act: impl Fn(&'b Case, Actor) -> F,
    ) {
        let acts = cases
            .iter()
            .zip(std::mem::take(actors))
            .map(|(case, actor)| {
                let act = actor.map(|actor| act(case, actor));
                async move { act?.await }
            });
        *actors = stream::iter(acts).buffered(self.at_once).collect().await;
    }

    async fn enter(&self, n: usize, case: &Case) -> Result<Actor> {
        let (target, id) = (self.adapter.target(), format!("ddi-{}-{n}", self.run));
        let (authorization, token) = if case.given.has_token {
            let token = self
                .adapter
                .register(&id)
                .await
                .context("register the device")?;
            (format!("TargetToken {token}"), Some(token))
        } else {
            (format!("GatewayToken {}", target.gateway), None)
        };
        let device = Device::new(self.http.clone(), target, &id, authorization);
        match case.given.standing {
            Standing::Unknown => {}
            Standing::Known => device.poll().await.map(drop)?,
            _ => device.introduce().await?,
        }
        Ok(Actor {
            device,
            token,
            update: None,
            module: None,
        })
    }

    fn groups(cases: &[&Case], actors: &[Result<Actor>]) -> BTreeMap<Group, Vec<usize>> {
        let mut groups: BTreeMap<Group, Vec<usize>> = BTreeMap::new();
        for (n, case) in cases.iter().enumerate() {
            let given = case.given;
            if given.standing.has_update() && actors[n].is_ok() {
                let apart = case.is_apart().then_some(n);
                let group = (
                    given.bundle,
                    given.terms,
                    given.standing.is_called_back(),
                    apart,
                );
                groups.entry(group).or_default().push(n);
            }
        }
        groups
    }

    async fn assign_all(&self, cases: &[&Case], actors: &mut [Result<Actor>]) {
        let groups = Self::groups(cases, actors);
        let assigned = groups.into_iter().map(|((bundle, terms, ..), members)| {
            let id = |n: &usize| actors[*n].as_ref().map(|actor| actor.device.id.clone());
            let ids: Result<Vec<_>, _> = members.iter().map(id).collect();
            let firmware = &self.bundles[bundle];
            async move {
                let ids = ids.unwrap_or_default();
                (members, self.adapter.assign(&ids, firmware, terms).await)
            }
        });
        let assigned: Vec<_> = stream::iter(assigned).buffered(4).collect().await;
        for (members, updates) in assigned {
            match updates {
                Ok(updates) => {
                    for (n, update) in members.into_iter().zip(updates) {
                        if let Ok(actor) = &mut actors[n] {
                            actor.update = Some(update);
                        }
                    }
                }
                Err(error) => {
                    for n in members {
                        actors[n] = Err(anyhow!("assign the firmware: {error:#}"));
                    }
                }
            }
        }
    }

    /// As far as a device comes before anything is called back.
    async fn begin(&self, case: &Case, mut actor: Actor) -> Result<Actor> {
        let Some(update) = &actor.update else {
            return Ok(actor);
        };
        let terms = case.given.terms;
        if terms.window != Window::Closed || terms.prefetch {
            let links = &["deploymentBase", "confirmationBase"];
            let shown = async || Ok(actor.device.is_shown(links).await?.then_some(()));
            until("the device is offered its update", shown).await?;
        }
        if case.given.standing == Standing::Offered {
            return Ok(actor);
        }
        let module = actor.device.fetch(&update.id).await?;
        let (execution, finished) = match case.given.standing {
            Standing::Done => ("closed", "success"),
            Standing::Failed => ("closed", "failure"),
            _ => ("proceeding", "none"),
        };
        actor
            .device
            .say("deploymentBase", &update.id, execution, finished)
            .await?;
        actor.module = module;
        Ok(actor)
    }

    async fn call_back(&self, cases: &[&Case], actors: &mut [Result<Actor>]) {
        for ((_, _, is_called_back, _), members) in Self::groups(cases, actors) {
            if !is_called_back {
                continue;
            }
            let update = |n: &usize| actors[*n].as_ref().ok()?.update.clone();
            let updates: Vec<_> = members.iter().filter_map(update).collect();
            if let Err(error) = self.adapter.cancel(&updates).await {
                for n in members {
                    actors[n] = Err(anyhow!("call the update back: {error:#}"));
                }
            }
        }
    }

    async fn settle(&self, case: &Case, actor: Actor) -> Result<Actor> {
        let (true, Some(update)) = (case.given.standing.is_called_back(), &actor.update) else {
            return Ok(actor);
        };
        let shown = async || {
            Ok(actor
                .device
                .is_shown(&["cancelAction"])
                .await?
                .then_some(()))
        };
        until("the update is called back", shown).await?;
        if case.given.standing == Standing::Cancelled {
            actor
                .device
                .say("cancelAction", &update.id, "closed", "success")
                .await?;
        }
        Ok(actor)
    }

    fn ready(&self, actor: Actor, stranger: &Actor) -> Ready {
        let target = self.adapter.target();
        let mut names = Names::default();
        names.set("server", &target.url);
        names.set("tenant", &target.tenant);
        names.set("lower", target.tenant.to_lowercase());
        names.set("gateway", &target.gateway);
        names.set("run", self.run);
        names.set("device", &actor.device.id);
        names.set("base", &actor.device.base);
        names.set("token", actor.token.unwrap_or_default());
        let id =
            |update: &Option<Update>| update.as_ref().map_or("0".to_owned(), |it| it.id.clone());
        names.set("id", id(&actor.update));
        names.set("other", id(&stranger.update));
        let module = actor.module.as_ref().or(stranger.module.as_ref());
        names.set("module", module.map_or("0", |module| module));
        let module = &PLAIN.modules[0];
        names.set("module-name", format!("{}-{}", module.name, self.run));
        if let [file] = module.files {
            names.set("file", file.name);
            names.set("md5", file.md5());
            names.set("sha1", file.sha1());
            names.set("sha256", file.sha256());
        }
        Ready {
            device: actor.device,
            update: actor.update,
            names,
        }
    }
}
