//! Parses Rust as far as the rules need it: words and signs, paths, functions.

#[derive(Clone, Debug)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// A path as it would be written in full, groups taken apart.
#[derive(Clone, Debug)]
pub struct FullPath {
    pub segments: Vec<String>,
    pub line: usize,
    /// How many modules of the file it stands in.
    pub modules: usize,
}

/// Words and signs; comments and literals are left out.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let start = i;
        match chars[i] {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && chars[i] != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= chars.len() {
                        break;
                    }
                }
            }
            '"' => i = after_string(&chars, i),
            'b' | 'c' if at(i + 1) == '"' => i = after_string(&chars, i + 1),
            'r' if at(i + 1) == '"' || at(i + 1) == '#' && matches!(at(i + 2), '"' | '#') => {
                i = after_raw_string(&chars, i + 1);
            }
            'b' | 'c' if at(i + 1) == 'r' && matches!(at(i + 2), '"' | '#') => i = after_raw_string(&chars, i + 2),
            // a character; otherwise a lifetime, whose name is a word that means nothing here
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < chars.len() && chars[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            c if is_word(c) => {
                while is_word(at(i)) {
                    i += 1;
                }
                tokens.push(Token { text: chars[start..i].iter().collect(), line });
            }
            ':' if at(i + 1) == ':' => {
                tokens.push(Token { text: "::".into(), line });
                i += 2;
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(Token { text: c.into(), line });
                }
                i += 1;
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|&&c| c == '\n').count();
    }
    tokens
}

pub fn after_string(chars: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

pub fn after_raw_string(chars: &[char], hashes_at: usize) -> usize {
    let hashes = chars[hashes_at..].iter().take_while(|&&c| c == '#').count();
    let mut i = hashes_at + hashes + 1;
    while i < chars.len()
        && !(chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes)
    {
        i += 1;
    }
    i + 1 + hashes
}

/// All paths, those of `use` among them, and single words too.
pub fn paths(tokens: &[Token]) -> Vec<FullPath> {
    let word = |i: usize| tokens.get(i).is_some_and(|t| t.text.starts_with(|c: char| c.is_alphabetic() || c == '_'));
    let sign = |i: usize, s: &str| tokens.get(i).is_some_and(|t| t.text == s);
    let (mut found, mut i) = (Vec::new(), 0);
    // for each open brace, whether it is a module's
    let mut braces = Vec::new();
    while i < tokens.len() {
        if sign(i, "{") {
            braces.push(i >= 2 && sign(i - 2, "mod"));
        } else if sign(i, "}") {
            braces.pop();
        } else if word(i) && (i == 0 || !sign(i - 1, "::")) {
            let modules = braces.iter().filter(|&&module| module).count();
            let is_use = i > 0 && sign(i - 1, "use");
            let before = found.len();
            i = path_tree(tokens, i, &[], is_use, &mut found);
            found[before..].iter_mut().for_each(|p| p.modules = modules);
            continue;
        }
        i += 1;
    }
    found
}

/// Takes the path that begins at `i` apart; where it ends.
pub fn path_tree(tokens: &[Token], mut i: usize, before: &[String], is_use: bool, found: &mut Vec<FullPath>) -> usize {
    let mut segments = before.to_vec();
    let line = tokens[i].line;
    loop {
        match tokens.get(i).map(|t| t.text.as_str()) {
            Some("{") if is_use && !segments.is_empty() => {
                i += 1;
                while i < tokens.len() && tokens[i].text != "}" {
                    i = if tokens[i].text == "," { i + 1 } else { path_tree(tokens, i, &segments, is_use, found) };
                }
                return i + 1;
            }
            Some(text) if text.starts_with(|c: char| c.is_alphabetic() || c == '_') || text == "*" => {
                segments.push(text.to_owned());
                i += 1;
            }
            _ => break,
        }
        if tokens.get(i).is_none_or(|t| t.text != "::") {
            break;
        }
        i += 1;
    }
    if is_use && tokens.get(i).is_some_and(|t| t.text == "as") {
        i += 2;
    }
    if segments.len() == before.len() {
        // no path after all: go on behind it
        return i + 1;
    }
    found.push(FullPath { segments, line, modules: 0 });
    i
}

/// All but the items that are for tests alone.
pub fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        if tokens[i..].len() < attribute.len() || !tokens[i..].iter().zip(attribute).all(|(t, a)| t.text == a) {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        let mut depth = 0;
        while i < tokens.len() {
            match tokens[i].text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            let last = matches!(tokens[i].text.as_str(), "}" | ";");
            i += 1;
            if depth == 0 && last {
                break;
            }
        }
    }
    kept
}

/// A function, and how many lines it has from its name to its end.
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

pub fn functions(tokens: &[Token]) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let is_name = pair[1].text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if pair[0].text != "fn" || !is_name {
            continue;
        }
        let mut depth = 0;
        let end = tokens[at..].iter().find(|token| {
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(token.text.as_str(), "}" | ";")
        });
        let Some(end) = end else { continue };
        found.push(Function { name: pair[1].text.clone(), line: pair[0].line, lines: end.line - pair[0].line + 1 });
    }
    found
}
