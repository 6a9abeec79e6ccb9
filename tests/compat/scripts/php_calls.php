<?php
// Calls of PHP's client that wait, one after the other: php_calls.php HOST PORT.
[, $host, $port] = $argv;
$client = new GearmanClient();
$client->addServer($host, (int) $port);

echo "ping: ", json_encode($client->ping("anybody there?")), "\n";

echo "doNormal: ", $client->doNormal("gearpy.reverse", "normal"), "\n";
echo "doHigh: ", $client->doHigh("gearpy.reverse", "high"), "\n";
echo "doLow: ", $client->doLow("gearpy.reverse", "low"), "\n";
echo "doNormal with a unique: ", $client->doNormal("gearpy.unique", "x", "key"), "\n";
echo "without one it makes one up: ", strlen($client->doNormal("gearpy.unique", "x")), "\n";

foreach (["gearpy.report", "php.fail", "php.raise"] as $function) {
    $result = @$client->doNormal($function, "x");
    $ended = match ($client->returnCode()) {
        GEARMAN_SUCCESS => "complete $result",
        GEARMAN_WORK_FAIL => "fail",
        GEARMAN_WORK_EXCEPTION => "exception",
    };
    echo "$function: $ended\n";
}
echo "doStatus when nothing is under way: ", json_encode($client->doStatus()), "\n";
