<?php
// load.php PORT PAPER SEED submits background jobs until its standard input ends, across all crashes
// of the server, and writes each receipt into PAPER as tests/crash/papers.py does.
[, $port, $paper, $seed] = $argv;
mt_srand(crc32($seed));
$name = basename($paper);
$submits = [1 => "doHighBackground", 2 => "doBackground", 3 => "doLowBackground"];

function pause(int $microseconds): bool
{
    $read = [STDIN];
    $none = null;
    return stream_select($read, $none, $none, 0, $microseconds) === 0; // else its end can be read
}

$number = $lives = $order = 0;
$client = null;
while (pause(mt_rand(0, 10000))) {
    if ($client === null) {
        $client = new GearmanClient();
        $client->setTimeout(30000);
        try {
            $client->addServer("127.0.0.1", (int) $port); // which connects
        } catch (GearmanException) {
            $client = null;
            continue;
        }
        [$lives, $order] = [$lives + 1, 0];
    }
    $number++;
    $function = mt_rand(0, 3) ? "plain" : "limited";
    $priority = array_rand($submits);
    $unique = "$name-$number"; // an empty one libgearman fills with a random one
    $payload = mt_rand(0, 9) ? "$name-$number\0-" . str_repeat("p", mt_rand(0, 100)) : "";
    $handle = @$client->{$submits[$priority]}($function, $payload, $unique);
    if ($client->returnCode() !== GEARMAN_SUCCESS || !$handle) {
        $client = null;
        continue;
    }
    $digest = strlen($payload) . ":" . hash("crc32b", $payload);
    $receipt = ["receipt", "$name/$lives", ++$order, $handle, $function, $unique, $priority, $number,
        $digest, true, 0.0];
    file_put_contents($paper, json_encode($receipt, JSON_UNESCAPED_SLASHES) . "\n", FILE_APPEND);
}
