<?php
// php_background.php HOST PORT FUNCTION UNIQUE PRIORITY PAYLOAD submits a background job and prints its
// handle; then it prints the job's status for each line that it reads.
[, $host, $port, $function, $unique, $priority, $payload] = $argv;
$client = new GearmanClient();
$client->addServer($host, (int) $port);

$submit = ["low" => "doLowBackground", "normal" => "doBackground", "high" => "doHighBackground"];
$handle = $client->{$submit[$priority]}($function, $payload, $unique);
echo "$handle\n";

while (fgets(STDIN) !== false) {
    [$known, $running, $numerator, $denominator] = $client->jobStatus($handle);
    printf("%d %d %d %d\n", $known, $running, $numerator, $denominator);
}
