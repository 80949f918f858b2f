-- To MySQL a schema is a database, which may be there already. Then it stays as it is: each table
-- below names its own character set and collation.
create database if not exists {schema}
    default character set utf8mb4
    default collate utf8mb4_bin;
