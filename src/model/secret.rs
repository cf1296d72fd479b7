//! Whether a command line holds a secret. Pure, and a guess: names that secrets have, and shapes that they are given so that
//! scanners find them. A file or a variable that a secret is read from is none.

/// What the name of an option or variable ends in that is followed by a secret.
const NAMES: [&str; 13] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "api_key",
    "access_key",
    "secret_key",
    "auth_key",
    "private_key",
    "credential",
    "credentials",
];

/// Beginnings of keys that their makers gave them: OpenAI and Anthropic, GitHub, GitLab, Slack, Hugging Face, Google, AWS.
const BEGINNINGS: [&str; 12] =
    ["sk-", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "hf_", "AIza", "AKIA", "ASIA"];

/// The shortest key behind such a beginning, in bytes; it has a digit, too. `sk-learn` is none.
const SHORTEST: usize = 12;

/// Where in a command line a secret seems to be, in words that do not tell it.
#[must_use]
pub fn secret_in(line: &str) -> Option<String> {
    // Also within a script that is one word of the line.
    let words: Vec<&str> = line
        .split(|char: char| char.is_whitespace() || "'\"`;,()".contains(char))
        .filter(|word| !word.is_empty())
        .collect();
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).copied().unwrap_or_default();
        // --header=X-Api-Key:... has two names.
        let mut begin = 0;
        for (end, _) in word.match_indices(['=', ':']) {
            let (name, value) = (&word[begin..end], &word[end + 1..]);
            if is_name(name) && is_told(if value.is_empty() { next } else { value }) {
                return Some(format!("what {} is set to", name.trim_start_matches('-')));
            }
            begin = end + 1;
        }
        if word.starts_with('-') && is_name(word) && is_told(next) {
            return Some(format!("what follows {word}"));
        }
        if ["bearer", "basic"].contains(&word.to_ascii_lowercase().as_str())
            && next.len() >= 8
            && is_told(next)
        {
            return Some(format!("what follows {word}"));
        }
        if let Some(shape) = shape_of(word.rsplit('=').next().unwrap_or(word)) {
            return Some(shape);
        }
    }
    None
}

/// A command line as it may be shown.
#[must_use]
pub fn masked(line: &str) -> String {
    if secret_in(line).is_none() {
        return line.to_owned();
    }
    let program = line.split_whitespace().next().unwrap_or_default();
    if secret_in(program).is_some() { "***".to_owned() } else { format!("{program} ***") }
}

/// Whether an option or variable of this name is a secret's.
fn is_name(name: &str) -> bool {
    let name = name.trim_start_matches('-').replace('-', "_").to_ascii_lowercase();
    NAMES.iter().any(|known| name.strip_suffix(known).is_some_and(|before| before.is_empty() || before.ends_with(['_', '.'])))
        // SERVICE_KEY, while --key is as often the name of a field.
        || name.strip_suffix("_key").is_some_and(|service| !["sort", "primary", "foreign", "public"].contains(&service))
}

/// Whether a value is the secret itself, and not where it stands.
fn is_told(value: &str) -> bool {
    !value.is_empty() && !value.starts_with(['-', '$', '/', '~', '@', '<', '%', '{'])
}

fn shape_of(word: &str) -> Option<String> {
    let is_key = |rest: &str| {
        rest.len() >= SHORTEST
            && rest.bytes().any(|byte| byte.is_ascii_digit())
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let begins = BEGINNINGS.iter().find(|begins| word.strip_prefix(**begins).is_some_and(is_key));
    if let Some(begins) = begins {
        return Some(format!("a word that begins with {begins}"));
    }
    if word.starts_with("eyJ") && word.matches('.').count() == 2 && word.len() > 40 {
        return Some("a word that looks like a signed token".to_owned());
    }
    let (_, rest) = word.split_once("://")?;
    let (user, _) = rest.split('/').next()?.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    is_told(password).then(|| "a password in an address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // Design 7: secrets never reach the catalogue
    #[rstest]
    #[case("tagger --token abc123", true)]
    #[case("tagger --token=abc123", true)]
    #[case("tagger --api-key 'abc 123'", true)]
    #[case("env OPENAI_API_KEY=abc tagger", true)]
    #[case("env SERVICE_KEY=abc tagger", true)]
    #[case("curl --header=X-Api-Key:abc https://h/", true)]
    #[case("curl -H 'X-Auth-Token: abc' https://h/", true)]
    #[case("sh -c 'PASSWORD=\"x y\" exec tagger'", true)]
    #[case("curl -H 'Authorization: Bearer abcdefgh12' https://h/", true)]
    #[case("tagger sk-proj-abcdefghijklmnop12", true)]
    #[case("tagger --with=ghp_abcdefghijklmnop1234", true)]
    #[case("tagger https://me:hush@example.org/x", true)]
    #[case("python3 /opt/tagger.py --model small", false)]
    #[case("tagger --token-file /run/token", false)]
    #[case("tagger --token /run/secrets/token", false)]
    #[case("sh -c 'tagger --token $TOKEN'", false)]
    #[case("tagger --max-tokens 500 --key title --sort-key=date", false)]
    #[case("tagger --author Tokenson --token", false)]
    #[case("python3 -m sk-learn.tagger", false)]
    #[case("tagger https://me@example.org:80/x", false)]
    #[case("tagger basic", false)]
    fn a_secret_is_told_by_its_name_or_its_shape(#[case] line: &str, #[case] then: bool) {
        assert_eq!(secret_in(line).is_some(), then, "{:?}", secret_in(line));
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        for line in [
            "tagger --token hush",
            "tagger 'a b' --api-key='hush hush'",
            "TOKEN=hush tagger",
            "x sk-hushhushhush42hush",
        ] {
            assert!(!masked(line).contains("hush"), "{}", masked(line));
            assert!(!secret_in(line).expect("there is one").contains("hush"));
        }
        assert_eq!(masked("python3 /opt/tagger.py"), "python3 /opt/tagger.py");
        assert_eq!(masked("tagger --token hush"), "tagger ***");
    }
}
