//! The texts in the sources of this crate: string literals, with the constants and the holes of format strings.

use std::collections::BTreeMap;

use syn::{
    Attribute, Expr, ImplItemConst, ItemConst, ItemMod, Lit, LitStr, Macro, Meta, Token,
    punctuated::Punctuated,
    visit::{self, Visit},
};

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// What is known at run time only.
    Hole,
}

#[derive(Debug)]
pub(super) struct SourceText {
    pub(super) line: usize,
    pub(super) pieces: Vec<Piece>,
}

/// All texts of a file, without those of its module of tests and of its documentation. The names of constants in format
/// strings are replaced by their texts.
pub(super) fn texts(source: &str) -> syn::Result<Vec<SourceText>> {
    let file = syn::parse_file(source)?;
    let mut constants = Constants::default();
    constants.visit_file(&file);
    let mut texts = Texts {
        constants: constants.0,
        found: Vec::new(),
    };
    texts.visit_file(&file);
    Ok(texts.found)
}

/// The constants whose value is a string literal.
#[derive(Default)]
struct Constants(BTreeMap<String, String>);

impl Constants {
    fn add(&mut self, name: &syn::Ident, value: &Expr) {
        if let Some(text) = string(value) {
            self.0.insert(name.to_string(), text.value());
        }
    }
}

impl Visit<'_> for Constants {
    fn visit_item_const(&mut self, item: &ItemConst) {
        self.add(&item.ident, &item.expr);
    }

    fn visit_impl_item_const(&mut self, item: &ImplItemConst) {
        self.add(&item.ident, &item.expr);
    }
}

struct Texts {
    constants: BTreeMap<String, String>,
    found: Vec<SourceText>,
}

impl Visit<'_> for Texts {
    fn visit_item_mod(&mut self, item: &ItemMod) {
        if !item.attrs.iter().any(is_cfg_test) {
            visit::visit_item_mod(self, item);
        }
    }

    /// Documentation is an attribute.
    fn visit_attribute(&mut self, _: &Attribute) {}

    fn visit_lit_str(&mut self, text: &LitStr) {
        self.found.push(SourceText {
            line: text.span().start().line,
            pieces: vec![Piece::Text(text.value())],
        });
    }

    fn visit_macro(&mut self, invocation: &Macro) {
        type Arguments = Punctuated<Expr, Token![,]>;
        let Ok(arguments) = invocation.parse_body_with(Arguments::parse_terminated) else {
            return self.add_literals(invocation.tokens.clone());
        };
        let name = &invocation.path.segments.last().expect("a name").ident;
        let concatenates = name == "concat";
        let formats = name == "format" || name == "write";
        let template = arguments.iter().position(|one| string(one).is_some());
        match template {
            Some(_) if concatenates => {
                let pieces = arguments.iter().map(|one| self.piece(Some(one))).collect();
                let line = name.span().start().line;
                self.found.push(SourceText { line, pieces });
            }
            Some(at) if formats => {
                let arguments: Vec<_> = arguments.iter().collect();
                let template = string(arguments[at]).expect("it is a string");
                let pieces = self.fill(&template.value(), &arguments[at + 1..]);
                let line = template.span().start().line;
                self.found.push(SourceText { line, pieces });
                for argument in &arguments[at + 1..] {
                    self.visit_expr(argument);
                }
            }
            _ => arguments.iter().for_each(|one| self.visit_expr(one)),
        }
    }
}

impl Texts {
    /// Adds the string literals of a macro whose arguments are no expressions.
    fn add_literals(&mut self, tokens: proc_macro2::TokenStream) {
        for token in tokens {
            match token {
                proc_macro2::TokenTree::Group(group) => self.add_literals(group.stream()),
                proc_macro2::TokenTree::Literal(literal) => {
                    if let Lit::Str(text) = Lit::new(literal) {
                        self.visit_lit_str(&text);
                    }
                }
                _ => {}
            }
        }
    }

    /// The pieces of a format string.
    fn fill(&self, template: &str, arguments: &[&Expr]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut next = 0;
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            pieces.push(Piece::Text(before.to_owned()));
            if from.starts_with("{{") || from.starts_with("}}") {
                pieces.push(Piece::Text(from[..1].to_owned()));
                rest = &from[2..];
                continue;
            }
            let (hole, after) = from[1..].split_once('}').unwrap_or_default();
            let name = hole.split(':').next().unwrap_or_default();
            pieces.push(match name.parse() {
                Ok(position) => self.piece(arguments.get::<usize>(position).copied()),
                Err(_) if name.is_empty() => {
                    next += 1;
                    self.piece(arguments.get(next - 1).copied())
                }
                Err(_) => self.named(name, arguments),
            });
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        pieces
    }

    fn named(&self, name: &str, arguments: &[&Expr]) -> Piece {
        let argument = arguments.iter().find_map(|argument| match argument {
            Expr::Assign(assign) => is_path_to(&assign.left, name).then_some(&*assign.right),
            _ => None,
        });
        match argument {
            Some(argument) => self.piece(Some(argument)),
            None => self.constant(name),
        }
    }

    fn piece(&self, argument: Option<&Expr>) -> Piece {
        match argument {
            Some(Expr::Path(path)) => match path.path.get_ident() {
                Some(name) => self.constant(&name.to_string()),
                None => Piece::Hole,
            },
            Some(argument) => {
                string(argument).map_or(Piece::Hole, |text| Piece::Text(text.value()))
            }
            None => Piece::Hole,
        }
    }

    fn constant(&self, name: &str) -> Piece {
        let text = self.constants.get(name);
        text.map_or(Piece::Hole, |text| Piece::Text(text.clone()))
    }
}

fn string(expression: &Expr) -> Option<&LitStr> {
    match expression {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn is_path_to(expression: &Expr, name: &str) -> bool {
    matches!(expression, Expr::Path(path) if path.path.is_ident(name))
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    let condition = attribute.parse_args::<Meta>();
    attribute.path().is_ident("cfg")
        && condition.is_ok_and(|condition| condition.path().is_ident("test"))
}

#[test]
fn literals_constants_and_holes_are_read() {
    let source = r##"
        //! "FROM devices" in a comment
        const TABLES: &str = "devices d";
        const QUOTE: char = '"';
        fn f() {
            query("SELECT \"a\" \
                   FROM devices");
            format!("FROM {TABLES} WHERE {} = '{{}}'{lock:>4}", column());
            other!(x => r#"SELECT 1"#);
            concat!("SELECT ", "2");
        }
        #[cfg(test)]
        mod tests { const T: &str = "not read"; }
    "##;
    let texts = texts(source).expect("valid Rust");
    let texts: Vec<_> = texts
        .iter()
        .map(|text| {
            let pieces = text.pieces.iter().map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Hole => "<hole>",
            });
            (text.line, pieces.collect::<String>())
        })
        .collect();
    let expected = [
        (3, "devices d"),
        (6, "SELECT \"a\" FROM devices"),
        (8, "FROM devices d WHERE <hole> = '{}'<hole>"),
        (9, "SELECT 1"),
        (10, "SELECT 2"),
    ];
    assert_eq!(texts, expected.map(|(line, text)| (line, text.to_owned())));
}
