//! The versions of the plugin contract in `wit/`, and the draft that nothing is built from yet.

use std::fs;

use wit_bindgen_core::wit_parser::Resolve;

use crate::workspace::Workspace;

const FOLDER: &str = "wit";
const DRAFT: &str = "draft";

#[test]
fn every_folder_of_the_contract_is_a_valid_package() {
    let folder = Workspace::find().expect("a checkout").root.join(FOLDER);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of the contract") {
        let entry = entry.expect("the folder of the contract");
        let file = entry.path().join("package.wit");
        let text = fs::read_to_string(&file).expect("a package");
        let parsed = Resolve::default().push_str(&file, &text);
        if let Err(error) = parsed {
            panic!("{}: {error}", file.display());
        }
        names.push(entry.file_name().into_string().expect("a name"));
    }
    assert!(names.len() > 1, "{names:?}");
    assert!(names.iter().any(|name| name == DRAFT), "{names:?}");
}
