# Runs a server until its standard input ends or says `stop`, then stops it and removes its
# directory. The input is a pipe whose other end the starter holds, so that it ends with the
# starter, even if that is killed. The output is the directory's lock, which is held meanwhile.
#
# Arguments: the server's directory, the signal that stops it, how many tenths of a second it is
# given to do so, and the server's command.
directory=$1 signal=$2 tenths=$3
shift 3

trap '' HUP
exec 3<&0 </dev/null
"$@" 3<&- >>"$directory/log" 2>&1 &
server=$!

(
    read -r _ <&3
    test -e "$directory/exited" || kill -s "$signal" "$server"
    while test ! -e "$directory/exited" && test "$tenths" -gt 0; do
        sleep 0.1
        tenths=$((tenths - 1))
    done
    test -e "$directory/exited" || kill -s KILL "$server"
    # A killed PostgreSQL's other processes notice a moment later, and may still write.
    rm -rf -- "$directory" || { sleep 1; rm -rf -- "$directory"; }
) &
exec 3<&-

wait "$server"
status=$?
: >"$directory/exited"
exit "$status"
