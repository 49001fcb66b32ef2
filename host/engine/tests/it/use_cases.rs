//! Every use case states who may run it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use syn::{FnArg, GenericArgument, Item, ItemFn, PathArguments, Type, TypePath, Visibility};

/// The folders of `src` whose public functions are use cases.
const AREAS: [&str; 10] = [
    "access",
    "campaigns",
    "devices",
    "firmware",
    "idempotency",
    "latest",
    "plugins",
    "registry",
    "tenants",
    "updates",
];

/// Functions that have no context.
const WITHOUT_CONTEXT: [&str; 31] = [
    // They find out who the actor or the device is.
    "devices/authenticate.rs: authenticate",
    "devices/authorities.rs: authorities",
    "devices/tenant.rs: tenant",
    "tenants/authenticate.rs: authenticate",
    "tenants/authenticate.rs: by_name",
    "tenants/credential.rs: ended_credentials",
    // The server itself, or its operator, acts before or across tenants.
    "plugins/folder.rs: install_folder",
    "plugins/folder.rs: watch_folder_loop",
    "plugins/install_built_ins.rs: install_built_ins",
    "plugins/install_built_ins.rs: install_built_ins_loop",
    "tenants/bootstrap.rs: bootstrap",
    "tenants/stats.rs: stats_of_all",
    // Loops and their steps.
    "devices/last_seen.rs: flush_last_seen",
    "devices/last_seen.rs: flush_last_seen_loop",
    "devices/retrieval.rs: flush_retrievals",
    "access/gateways.rs: flush_gateway_uses",
    "tenants/keys.rs: flush_key_uses",
    "campaigns/deadlines.rs: expire_batch",
    "campaigns/deadlines.rs: expire_updates_loop",
    "campaigns/join.rs: join_changed_devices",
    "campaigns/join.rs: join_changed_devices_loop",
    "campaigns/recheck.rs: recheck_updates",
    "campaigns/reconcile.rs: reconcile",
    "campaigns/tick/mod.rs: tick",
    "campaigns/unknown_contracts.rs: leave_unknown_contracts",
    "campaigns/unknown_contracts.rs: leave_unknown_contracts_loop",
    "campaigns/update_checks.rs: check_updates",
    "campaigns/update_checks.rs: check_updates_loop",
    "latest/update_loop.rs: process_dirty_tenants",
    "latest/update_loop.rs: run_latest_loop",
    "plugins/flush_usage.rs: flush_usage",
];

/// Functions that get the whole engine: authentication of devices, loops with their steps, and the start of the server.
/// Use cases of devices get it too.
const WITH_ENGINE: [&str; 21] = [
    "campaigns/deadlines.rs: expire_batch",
    "campaigns/deadlines.rs: expire_updates_loop",
    "campaigns/join.rs: join_changed_devices",
    "campaigns/join.rs: join_changed_devices_loop",
    "campaigns/recheck.rs: recheck_updates",
    "campaigns/reconcile.rs: reconcile",
    "campaigns/tick/mod.rs: tick",
    "campaigns/unknown_contracts.rs: leave_unknown_contracts",
    "campaigns/unknown_contracts.rs: leave_unknown_contracts_loop",
    "campaigns/update_checks.rs: check_updates",
    "campaigns/update_checks.rs: check_updates_loop",
    "devices/authenticate.rs: authenticate",
    "devices/last_seen.rs: flush_last_seen",
    "devices/last_seen.rs: flush_last_seen_loop",
    "latest/update_loop.rs: process_dirty_tenants",
    "latest/update_loop.rs: run_latest_loop",
    "plugins/folder.rs: install_folder",
    "plugins/folder.rs: watch_folder_loop",
    "plugins/install_built_ins.rs: install_built_ins",
    "plugins/install_built_ins.rs: install_built_ins_loop",
    "tenants/bootstrap.rs: bootstrap",
];

#[test]
fn every_use_case_declares_who_may_run_it() {
    let mut without = Vec::new();
    let mut declared = 0;
    for (file, function) in use_cases() {
        match declaration(&function) {
            Some(context) => {
                let is_of_devices = file.starts_with("devices/");
                assert_eq!(context == "Caller", is_of_devices, "{file}: {context}");
                declared += 1;
            }
            None => without.push(format!("{file}: {}", function.sig.ident)),
        }
    }
    without.sort_unstable();
    let mut expected = WITHOUT_CONTEXT.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(without, expected, "their first argument is no context");
    assert!(declared > 50, "{declared} use cases were found");
}

#[test]
fn only_devices_and_loops_are_handed_the_engine() {
    let mut with_engine = Vec::new();
    for (file, function) in use_cases() {
        let has_engine = function.sig.inputs.iter().any(|argument| match argument {
            FnArg::Typed(argument) => names_engine(&argument.ty),
            FnArg::Receiver(_) => false,
        });
        if has_engine && declaration(&function).as_deref() != Some("Caller") {
            with_engine.push(format!("{file}: {}", function.sig.ident));
        }
    }
    with_engine.sort_unstable();
    assert_eq!(with_engine, WITH_ENGINE, "they get more than they need");
}

fn names_engine(argument: &Type) -> bool {
    match argument {
        Type::Reference(reference) => names_engine(&reference.elem),
        Type::Path(TypePath { path, .. }) => path.segments.iter().any(|segment| {
            let is_generic = match &segment.arguments {
                PathArguments::AngleBracketed(generic) => generic.args.iter().any(
                    |argument| matches!(argument, GenericArgument::Type(inner) if names_engine(inner)),
                ),
                _ => false,
            };
            segment.ident == "Engine" || is_generic
        }),
        _ => false,
    }
}

/// The public asynchronous functions, each with its file.
fn use_cases() -> Vec<(String, ItemFn)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in AREAS.iter().flat_map(|area| sources(&src.join(area))) {
        let text = fs::read_to_string(&path).expect("a source file");
        let file = syn::parse_file(&text).expect("Rust");
        let name = path.strip_prefix(&src).expect("a path below src");
        let name = name.display().to_string();
        found.extend(file.items.into_iter().filter_map(|item| match item {
            Item::Fn(function)
                if matches!(function.vis, Visibility::Public(_))
                    && function.sig.asyncness.is_some() =>
            {
                Some((name.clone(), function))
            }
            _ => None,
        }));
    }
    found
}

/// What the type of the first argument declares: `Ctx`, `ServerCtx`, `Caller`, or the role of `Authorized`.
fn declaration(function: &ItemFn) -> Option<String> {
    let FnArg::Typed(first) = function.sig.inputs.first()? else {
        return None;
    };
    let Type::Reference(reference) = &*first.ty else {
        return None;
    };
    let Type::Path(TypePath { path, .. }) = &*reference.elem else {
        return None;
    };
    let last = path.segments.last()?;
    match (last.ident.to_string().as_str(), &last.arguments) {
        (name @ ("Ctx" | "ServerCtx" | "Caller"), PathArguments::None) => Some(name.to_owned()),
        ("Authorized", PathArguments::AngleBracketed(roles)) => match roles.args.first()? {
            GenericArgument::Type(Type::Path(role)) => Some(role.path.get_ident()?.to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    entries
        .flat_map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
