//! Resource 2: the files of a module.

use crate::{
    adapter::Capability,
    case::{Case, DeviceState, DeviceState::*},
};

const PATH: &str = "softwaremodules/{module}/artifacts";

fn case(name: &str, device_state: DeviceState) -> Case {
    Case::new("2", name, device_state).requires(Capability::FileList)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("the files as in the description", Proceeding)
            .get(PATH)
            .status(200)
            .length("", 1)
            .json("/0/filename", "{file}")
            .json("/0/size", 1000)
            .json("/0/hashes/md5", "{md5}")
            .json("/0/hashes/sha1", "{sha1}")
            .json("/0/hashes/sha256", "{sha256}")
            .json(
                "/0/_links/download-http/href",
                "{base}/softwaremodules/{module}/artifacts/{file}",
            )
            .json(
                "/0/_links/md5sum-http/href",
                "{base}/softwaremodules/{module}/artifacts/{file}.MD5SUM",
            ),
        case("only one pair of links", Proceeding)
            .get(PATH)
            .status(200)
            .lacks("/0/_links/download")
            .lacks("/0/_links/md5sum"),
        case("the link leads to the file", Proceeding)
            .get(PATH)
            .capture("link", "/0/_links/download-http/href")
            .get("{link}")
            .status(200)
            .bytes(1000),
        case("before the update was read", Offered)
            .get(PATH)
            .status(200)
            .length("", 1),
        case("of the installed update", Succeeded)
            .get(PATH)
            .status(200)
            .length("", 1),
        case("of an unknown module", Proceeding)
            .get("softwaremodules/987654321/artifacts")
            .status(404),
        case("a module id that is not a number", Proceeding)
            .get("softwaremodules/x/artifacts")
            .status_in(&[400, 404]),
        case("of an unknown device", Unknown).get(PATH).status(404),
    ]
}
