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
        case("a list of files as in the description", Proceeding)
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
        case("both pairs of links", Proceeding)
            .get(PATH)
            .status(200)
            .differs(
                12,
                |it| it.has("/0/_links/download-http"),
                |it| it.has("/0/_links/download").has("/0/_links/md5sum"),
            ),
        case("a link leads to the file", Proceeding)
            .get(PATH)
            .capture("link", "/0/_links/download-http/href")
            .get("{link}")
            .status(200)
            .bytes(1000),
        case("before the update was looked at", Offered)
            .get(PATH)
            .status(200)
            .length("", 1),
        case("of what is installed", Succeeded)
            .get(PATH)
            .status(200)
            .length("", 1),
        case("of a module that is not there", Proceeding)
            .get("softwaremodules/987654321/artifacts")
            .status(404),
        case("what is no number is no module", Proceeding)
            .get("softwaremodules/x/artifacts")
            .status_in(&[400, 404]),
        case("of a device that nobody knows", Unknown)
            .get(PATH)
            .status(404),
    ]
}
