//! Which right a user lacks, by the words of the server.

/// What to grant, as `grant` has it, from a refusal such as `INSERT command denied to user
/// 'app'@'%' for table 'events'`. The server's messages can be in another language; then the cause
/// says it.
pub(crate) fn needed(message: &str) -> String {
    command(message)
        .or_else(|| privilege(message))
        .or_else(|| database(message))
        .unwrap_or_else(|| "what the cause names".to_owned())
}

fn command(message: &str) -> Option<String> {
    let (commands, rest) = message.split_once(" command denied to user ")?;
    let kinds = [" in table ", " for table ", " for routine "];
    let (_, on) = kinds.iter().find_map(|kind| rest.split_once(kind))?;
    Some(format!("{} on {on}", commands.to_lowercase()))
}

fn privilege(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("(at least one of) the ")?;
    let (privileges, _) = rest.split_once(" privilege(s)")?;
    Some(privileges.to_lowercase())
}

fn database(message: &str) -> Option<String> {
    let (_, database) = message.split_once(" to database ")?;
    Some(format!("a right on the database {database}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_is_read_from_the_servers_words() {
        for (message, right) in [
            (
                "INSERT command denied to user 'a'@'%' for table `es`.`events`",
                "insert on `es`.`events`",
            ),
            (
                "SELECT, INSERT command denied to user 'a'@'%' for table 'events'",
                "select, insert on 'events'",
            ),
            (
                "SELECT command denied to user 'a'@'%' for column 'slot' in table 'events'",
                "select on 'events'",
            ),
            ("execute command denied to user 'a'@'%' for routine 'es.f'", "execute on 'es.f'"),
            (
                "Access denied; you need (at least one of) the SUPER privilege(s) for this operation",
                "super",
            ),
            ("Access denied for user 'a'@'%' to database 'es'", "a right on the database 'es'"),
            ("Zugriff verweigert", "what the cause names"),
        ] {
            assert_eq!(needed(message), right);
        }
    }
}
