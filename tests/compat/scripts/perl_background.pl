# perl_background.pl HOST PORT FUNCTION UNIQUE PRIORITY PAYLOAD submits a background job and prints its
# handle; then it prints the job's status for each line that it reads.
use strict;
use warnings;
use Gearman::Client;

$| = 1;
my ($host, $port, $function, $unique, $priority, $payload) = @ARGV;
my $client = Gearman::Client->new(job_servers => ["$host:$port"]);

my %options = (uniq => $unique, priority => $priority);
my $job     = $client->dispatch_background($function, $payload, \%options);
my ($server, $handle) = split "//", $job;
print "$handle\n";

while (<STDIN>) {
    my $status = $client->get_status($job);
    my ($numerator, $denominator) = @{ $status->progress };
    printf "%d %d %d %d\n", $status->known, $status->running, $numerator, $denominator;
}
