-- Records a request in the transaction that appends its event, or that found a conflict.
-- $1 order id, $2 command, $3 outcome, $4 version of the order afterwards
insert into requests (order_id, command, outcome, order_version)
values ($1, $2, $3, $4)
