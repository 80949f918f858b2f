//! Whose fault an error is that a handler returns: by the server's numbers and states, however the
//! handler has wrapped it.

use std::error::Error;

use es::conformance::Fixture;
use es::{Cause, EventSource};
use es_mysql::MySqlSource;
use es_mysql::sqlx::{self, AssertSqlSafe, MySqlConnection};

use crate::harness::{MySqlHarness, execute};

type BoxError = Box<dyn Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[error("a layer")]
struct Layer(#[source] BoxError);

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Transparent(#[from] sqlx::Error);

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct TransparentTwice(#[from] Transparent);

type Wrap = fn(sqlx::Error) -> BoxError;

/// As handlers wrap what sqlx gives them.
const WRAPPERS: [(&str, Wrap); 7] = [
    ("plain", |error| error.into()),
    ("boxed in a layer", |error| Layer(error.into()).into()),
    ("transparent", |error| Transparent(error).into()),
    ("transparent twice, in a layer", |error| {
        Layer(TransparentTwice(Transparent(error)).into()).into()
    }),
    ("anyhow", |error| anyhow::Error::from(error).into()),
    ("anyhow of transparent, with a context", |error| {
        anyhow::Error::from(Transparent(error)).context("cannot write").into()
    }),
    ("anyhow in anyhow in a layer", |error| {
        let inner: BoxError = anyhow::Error::from(error).into();
        Layer(anyhow::Error::from_boxed(inner).context("twice").into()).into()
    }),
];

fn assert_cause(source: &MySqlSource, error: impl Fn() -> sqlx::Error, is: Cause, what: &str) {
    for (wrapper, wrap) in WRAPPERS {
        let error = wrap(error());
        assert_eq!(source.cause(&*error), Some(is), "{what}, {wrapper}: {error:?}");
    }
}

/// What the server says when a trigger of the read model's table signals.
async fn signalled(conn: &mut MySqlConnection, state: &str, number: Option<u16>) -> sqlx::Error {
    let number = number.map_or(String::new(), |number| format!(" set mysql_errno = {number}"));
    let signal = format!("signal sqlstate '{state}'{number}");
    let error = sqlx::raw_sql(AssertSqlSafe(signal)).execute(conn).await;
    error.expect_err("it signals")
}

#[tokio::test]
async fn errors_are_told_apart_by_the_servers_numbers_and_states() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let mut conn = store.conn().await;
    let servers: &[u16] = &[
        1021, 1114, 3019, 1290, 1836, 1792, 1037, 1041, 1016, 1026, 1030, 1034, 1035, 1194, 1195,
        1712, 1040, 1053, 1180, 1181, 1142, 1143, 1044, 1045, 1227, 1370, 1998, 3999, 9999,
    ];
    // The last lines: what one event can cause each time, by its data or by how much it asks for.
    let transactions: &[u16] = &[
        1205, 1213, 1020, 1317, 1969, 3024, 1927, 3169, 1412, 1615, //
        1105, 1038, 1119, 1436, 1815, 1197, 1705, 1028, 1004, 1005, 1006, 1011, 1025, 1399, 3098,
        3100, 3170, 3636,
    ];
    let statements: &[u16] =
        &[1062, 1064, 1048, 1054, 1264, 1366, 1406, 1451, 1452, 3819, 4025, 1644, 1364, 1305];
    for (numbers, cause) in [
        (servers, Cause::Server),
        (transactions, Cause::Transaction),
        (statements, Cause::Statement),
    ] {
        for &number in numbers {
            let error = signalled(&mut conn, "HY000", Some(number)).await;
            let found = store.source.cause(&error);
            assert_eq!(found, Some(cause), "{number}: {error}");
        }
    }
    for (state, cause) in [
        ("45000", Cause::Statement),
        ("22001", Cause::Statement),
        ("23000", Cause::Statement),
        ("42000", Cause::Statement),
        ("08S01", Cause::Transaction),
        ("40001", Cause::Transaction),
        ("70100", Cause::Transaction),
        ("XA100", Cause::Transaction),
        ("25006", Cause::Server),
        ("28000", Cause::Server),
        ("53100", Cause::Server),
        ("57P03", Cause::Server),
        ("HY001", Cause::Server),
    ] {
        let error = signalled(&mut conn, state, None).await;
        assert_eq!(store.source.cause(&error), Some(cause), "{state}: {error}");
    }
}

#[tokio::test]
async fn a_wrapped_error_is_recognised() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let mut conn = store.conn().await;
    let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
    assert_cause(&store.source, lost, Cause::Transaction, "a lost connection");
    for (hidden, what) in [
        (|| sqlx::Error::PoolTimedOut, "no connection"),
        (|| sqlx::Error::PoolClosed, "a closed pool"),
        (|| sqlx::Error::WorkerCrashed, "a crash"),
    ] as [(fn() -> sqlx::Error, &str); 3]
    {
        assert_cause(&store.source, hidden, Cause::Transaction, what);
    }
    for (number, cause) in
        [(1021, Cause::Server), (1213, Cause::Transaction), (1062, Cause::Statement)]
    {
        for (wrapper, wrap) in WRAPPERS {
            let error = wrap(signalled(&mut conn, "HY000", Some(number)).await);
            let found = store.source.cause(&*error);
            assert_eq!(found, Some(cause), "{number}, {wrapper}: {error:?}");
        }
    }
}

#[tokio::test]
async fn an_error_of_the_users_own_says_nothing() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let io = |kind: std::io::ErrorKind| -> BoxError { std::io::Error::from(kind).into() };
    let (file, socket) =
        (io(std::io::ErrorKind::NotFound), io(std::io::ErrorKind::ConnectionRefused));
    for error in [file, socket, Layer("a wish".into()).into(), anyhow::anyhow!("no").into()] {
        assert_eq!(store.source.cause(&*error), None, "{error:?}");
    }
}

/// A transaction whose handler has failed is asked whether it can go on.
#[tokio::test]
async fn a_probe_tells_a_transaction_that_is_open_from_one_that_is_not() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let mut open = store.begin().await;
    store.source.probe(&mut open).await.expect("it is open");
    store.source.check_open(&mut open).await.expect("and can still be saved");
    store.commit(open).await;

    let mut ended = store.begin().await;
    execute(&mut ended, "rollback").await.expect("as a deadlock does");
    store.source.probe(&mut ended).await.expect_err("it has ended");

    let mut lost = store.begin().await;
    let id = crate::schedule::id(&mut lost).await;
    let mut conn = store.conn().await;
    execute(&mut conn, AssertSqlSafe(format!("kill {id}"))).await.expect("killed");
    let error = store.source.probe(&mut lost).await.expect_err("it is lost");
    assert_eq!(store.source.cause(&error), Some(Cause::Transaction), "{error:?}");
}
