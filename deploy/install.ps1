# install.ps1 puts the restic-manager agent on this machine and makes it a service.
#
# The enrolment line of the server fetches this file, compares its digest with the one
# in the line, and runs it with a list: the arguments of `restic-manager-agent install`.
# The one-time token comes through the pipe. The server has written the digests of its
# programs into it, so that the line vouches for them as well, whatever the way.
$ErrorActionPreference = 'Stop'

# Written by the server: one program a line (name, system, machine, SHA-256, file).
$programs = ''

$token = @($input)[0]
$arguments = @($args[0])
$server = $arguments[[Array]::IndexOf($arguments, '--server') + 1]

$me = New-Object Security.Principal.WindowsPrincipal([Security.Principal.WindowsIdentity]::GetCurrent())
if (-not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
	throw 'An administrator is needed: open PowerShell with "Run as administrator" and paste the line again.'
}

# An ARM machine runs programs for AMD64 too.
$machines = @('amd64')
if ($env:PROCESSOR_ARCHITECTURE -eq 'ARM64') { $machines = @('arm64', 'amd64') }

function Find-Program($name) {
	foreach ($machine in $machines) {
		foreach ($line in $programs -split "`n") {
			$words = $line.Trim() -split ' '
			if ($words.Count -eq 5 -and $words[0] -eq $name -and $words[1] -eq 'windows' -and $words[2] -eq $machine) {
				return @($words[3], $words[4])
			}
		}
	}
}

$agent = Find-Program 'restic-manager-agent'
if (-not $agent) { throw 'The server has no agent for Windows; its admin can add one (README, Programs).' }
# Not in a folder for temporary files: there this user's other programs, which are no
# administrators, could put something beside the agent or in its place.
$folder = Join-Path ([Environment]::GetFolderPath('ProgramFiles')) ('restic-manager-install-' + [Guid]::NewGuid())
New-Item -ItemType Directory -Path $folder | Out-Null
$held = $null
try {
	$file = Join-Path $folder 'restic-manager-agent.exe'
	Write-Host "fetching the agent: $server/install/$($agent[1])"
	# -k: what was fetched is trusted by its digest alone.
	& curl.exe -fsS -k --connect-timeout 20 -o $file "$server/install/$($agent[1])"
	if ($LASTEXITCODE -ne 0) { throw "The agent was not fetched from $server." }
	# Open from before it is looked at until it has run: meanwhile nobody can write it,
	# delete it or give it another name.
	$held = [IO.File]::Open($file, [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare]::Read)
	if ((Get-FileHash -Algorithm SHA256 -LiteralPath $file).Hash -ne $agent[0]) {
		throw 'What the server sent does not have the digest of the line: make a new line under Add host.'
	}
	$restic = Find-Program 'restic'
	if ($restic) { $arguments = @('--restic-sha256', $restic[0], '--restic-file', $restic[1]) + $arguments }
	$token | & $file install @arguments
	if ($LASTEXITCODE -ne 0) { throw 'The installation did not end well; see above.' }
} finally {
	if ($held) { $held.Dispose() }
	Remove-Item -Recurse -Force $folder -ErrorAction SilentlyContinue
}
