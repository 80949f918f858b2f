-- Whether a transaction is open: error 1305 if there is none. Asked after an error that ends the
-- transaction on some servers and only the statement on others, as they are set up.
savepoint es_append;
release savepoint es_append
