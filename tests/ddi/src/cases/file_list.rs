//! Resource 2: the files of a module.

use crate::{
    adapter::Need,
    case::{Case, Standing, Standing::*},
};

const PATH: &str = "softwaremodules/{module}/artifacts";

fn case(name: &str, standing: Standing) -> Case {
    Case::new("2", name, standing).needing(Need::FileList)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("a list of files as in the description", Busy)
            .get(PATH)
            .is(200)
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
        case("both pairs of links", Busy).get(PATH).is(200).differs(
            12,
            |it| it.has("/0/_links/download-http"),
            |it| it.has("/0/_links/download").has("/0/_links/md5sum"),
        ),
        case("a link leads to the file", Busy)
            .get(PATH)
            .keep("link", "/0/_links/download-http/href")
            .get("{link}")
            .is(200)
            .bytes(1000),
        case("before the update was looked at", Offered)
            .get(PATH)
            .is(200)
            .length("", 1),
        case("of what is installed", Done)
            .get(PATH)
            .is(200)
            .length("", 1),
        case("of a module that is not there", Busy)
            .get("softwaremodules/987654321/artifacts")
            .is(404),
        case("what is no number is no module", Busy)
            .get("softwaremodules/x/artifacts")
            .one_of(&[400, 404]),
        case("of a device that nobody knows", Unknown)
            .get(PATH)
            .is(404),
    ]
}
